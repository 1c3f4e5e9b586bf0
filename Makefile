# SPDX-License-Identifier: Apache-2.0
#
# dynamo-metricsd
#
# make help                           the targets
# make V=1                            show the commands
# make SAN=address,undefined check    another build, beside the first: build/address,undefined
# make WERROR=1                       warnings are errors, as in CI
# make T='client_%' check             some of the unit tests
# make DEPS=skip run                  never install a package

VERSION := 0.1.0
SOVERSION := 0

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
SYSCONFDIR ?= /etc

PKG    ?= pkg-config
OBJCOPY ?= objcopy
PYTHON ?= /usr/bin/python3
SAN    ?=
WERROR ?=
DEPS   ?=
T      ?=
BUILD  ?= build/$(or $(SAN),release)
CFLAGS   ?= $(if $(SAN),-O1 -g -fno-omit-frame-pointer,-O2 -g)
CXXFLAGS ?= $(CFLAGS)

DAEMON_PKGS := libevent jansson libisal
CTL_PKGS    := nanomsg jansson
TEST_PKGS   := check nanomsg

# ---- Flags ---------------------------------------------------------------------------------

# gcc sees conversions in what its sanitizers add.
warn := -Wall -Wextra -Wpedantic -Wshadow $(if $(SAN),,-Wconversion) -Wformat=2 -Wvla \
	$(if $(WERROR),-Werror)
warn_c := -Wstrict-prototypes -Wmissing-prototypes
optimised := $(filter-out -O0,$(filter -O%,$(CFLAGS)))
# A sanitizer replaces the functions that _FORTIFY_SOURCE wraps: one or the other.
harden := -fstack-protector-strong \
	$(if $(SAN),,$(if $(optimised),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
san := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
common := -MMD -MP $(warn) $(harden) $(san) -DDYNAMO_METRICS_VERSION='"$(VERSION)"'
c_flags := -std=c11 -D_GNU_SOURCE $(warn_c) $(common)
cxx_flags := -std=c++17 $(common)
link_flags := $(san) -Wl,-z,relro -Wl,-z,now -Wl,--as-needed
pkg_cflags = $(shell $(PKG) --cflags $(1) 2>/dev/null)
pkg_libs = $(shell $(PKG) --libs $(1) 2>/dev/null)

# ---- Sources -------------------------------------------------------------------------------

objects = $(patsubst %,$(BUILD)/%.o,$(basename $(1)))
sources = $(sort $(wildcard $(1)/*.c))

PROTO  := $(call objects,$(call sources,proto))
CLIENT := $(call objects,$(call sources,client))
DAEMON := $(call objects,$(filter-out daemon/main.c,$(call sources,daemon)))
CTL    := $(call objects,$(filter-out ctl/main.c,$(call sources,ctl)))
CHECKS := $(filter $(or $(T),%),$(patsubst tests/check_%.c,%,$(sort $(wildcard tests/check_*.c))))
PEERS  := $(patsubst tests/system/peer_%.c,%,$(sort $(wildcard tests/system/peer_*.c)))
FAILING := $(BUILD)/tests/failing.o
TESTUTIL := $(filter-out $(FAILING),$(call objects,\
	$(filter-out tests/check_%,$(call sources,tests))))
EXAMPLES := $(basename $(sort $(wildcard client/examples/*.c client/examples/*.cpp)))
SYSTEST  := $(basename $(filter-out tests/system/peer_%,$(call sources,tests/system)) \
	$(call sources,tests/chaos))

# tests/sacred: one application; late: not linked to the library; nanomsg: with libnanomsg too.
sacred_objects := $(call objects,$(filter-out %/late.c %/nanomsg.c %/failing_malloc.c,$(call sources,tests/sacred)))
sacred_so := $(if $(SAN),,$(BUILD)/tests/sacred/failing_malloc.so)
sacred := $(addprefix $(BUILD)/tests/sacred/,app app_late app_nanomsg) $(sacred_so)

daemon := $(BUILD)/dynamo-metricsd
ctl    := $(BUILD)/dynamo-metricsctl
lib    := $(BUILD)/libdynamo-metrics.a
soname := libdynamo-metrics.so.$(SOVERSION)
so     := $(BUILD)/$(soname)
sodev  := $(BUILD)/libdynamo-metrics.so
pc     := $(BUILD)/dynamo-metrics.pc
checks := $(CHECKS:%=$(BUILD)/tests/check_%)
peers  := $(PEERS:%=$(BUILD)/tests/system/peer_%)
examples := $(EXAMPLES:%=$(BUILD)/%)
systest  := $(SYSTEST:%=$(BUILD)/%)

quiet = $(if $(V),,@printf '  %-5s %s\n' $(1) $(@:$(BUILD)/%=%);)

.PHONY: all programs tests check system scale churn chaos simulate sacred test run demo docs deps test-deps asan tsan valgrind \
	mutants install uninstall check-layers check-header format format-check show-abort clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(daemon) $(ctl) $(lib) $(so) $(sodev) $(pc)	## build the daemon, the tool and the library

# ---- Compiling -----------------------------------------------------------------------------

# Each part sees only the headers it may depend on.
$(BUILD)/proto/%.o:  part := -Iproto -fPIC -fvisibility=hidden
$(BUILD)/client/%.o: part := -Iproto -Iclient -Iclient/include -fPIC -fvisibility=hidden
$(BUILD)/daemon/%.o: part := -Iproto -Idaemon -fPIE $(call pkg_cflags,$(DAEMON_PKGS))
$(BUILD)/ctl/%.o:    part := -Iproto -Ictl -fPIE $(call pkg_cflags,$(CTL_PKGS))
$(BUILD)/tests/%.o:  part := -Iproto -Idaemon -Iclient -Iclient/include -Ictl -Itests -fPIE \
	$(call pkg_cflags,$(DAEMON_PKGS) $(TEST_PKGS))
$(BUILD)/tests/system/%.o:    part := -Iclient/include -fPIE
$(BUILD)/tests/chaos/%.o:     part := -Iclient/include -Itests -fPIE
$(BUILD)/tests/sacred/%.o:    part := -Iclient/include -fPIC
$(BUILD)/tests/system/peer_%.o: part := -Iproto -Iclient/include -fPIE
$(BUILD)/client/examples/%.o: part := -Iclient/include -fPIE

# Everything is built again when a flag, a compiler or the version changes.
flags := $(BUILD)/flags
$(flags): export flags_now := $(CC) $(CXX) $(c_flags) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS)
$(flags): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$flags_now" | cmp -s - $@ || printf '%s\n' "$$flags_now" > $@

$(BUILD)/%.o: %.c $(flags)
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(c_flags) $(part) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.cpp $(flags)
	@mkdir -p $(@D)
	$(call quiet,CXX)$(CXX) $(cxx_flags) $(part) $(CPPFLAGS) $(CXXFLAGS) -c -o $@ $<

linked = $(link_flags) -pie $(LDFLAGS) -o $@ $(filter %.o %.a,$^)
link = $(CC) $(CFLAGS) $(linked)
link_cxx = $(CXX) $(CXXFLAGS) $(linked)

# ---- Products ------------------------------------------------------------------------------

$(daemon): $(BUILD)/daemon/main.o $(DAEMON) $(PROTO)
	$(call quiet,LD)$(link) $(call pkg_libs,$(DAEMON_PKGS)) -lm

$(ctl): $(BUILD)/ctl/main.o $(CTL) $(PROTO)
	$(call quiet,LD)$(link) $(call pkg_libs,$(CTL_PKGS)) -pthread

# One object that shows its API alone: a program may have a wire_put_text() of its own.
$(BUILD)/libdynamo-metrics.o: $(CLIENT) $(PROTO)
	@$(CC) -r -nostdlib -o $@ $^
	@$(OBJCOPY) --localize-hidden $@
$(lib): $(BUILD)/libdynamo-metrics.o
	$(call quiet,AR)rm -f $@; $(AR) rcs $@ $<

# A flush thread must not outlive its code: the library stays mapped after dlclose(). A
# sanitizer's own symbols come from the program, so -z defs is for the plain build.
$(so): $(CLIENT) $(PROTO) client/libdynamo-metrics.map
	$(call quiet,LD)$(CC) $(CFLAGS) $(link_flags) -shared -Wl,-soname,$(soname) \
		-Wl,--version-script=client/libdynamo-metrics.map -Wl,-z,nodelete \
		$(if $(SAN),,-Wl,-z,defs) $(LDFLAGS) -o $@ $(filter %.o,$^) -pthread

$(sodev): $(so)
	@ln -sf $(soname) $@

substitute = sed -e 's|@prefix@|$(PREFIX)|g' -e 's|@libdir@|$(LIBDIR)|g' \
	-e 's|@includedir@|$(INCLUDEDIR)|g' -e 's|@bindir@|$(BINDIR)|g' \
	-e 's|@sbindir@|$(SBINDIR)|g' -e 's|@sysconfdir@|$(SYSCONFDIR)|g' \
	-e 's|@version@|$(VERSION)|g' -e 's|@VERSION@|$(VERSION)|g'

$(pc): client/dynamo-metrics.pc.in $(BUILD)/places
	$(call quiet,GEN)$(substitute) $< > $@
$(BUILD)/places: export places_now := $(VERSION) $(PREFIX) $(LIBDIR) $(INCLUDEDIR)
$(BUILD)/places: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$places_now" | cmp -s - $@ || printf '%s\n' "$$places_now" > $@

# ---- Tests ---------------------------------------------------------------------------------

# A test links the part it is about, so that the layers are proved once more:
# check_client_* the library, check_ctl_* the tool, check_X and check_X_* the protocol when
# there is proto/X.c, and any other the daemon and the library.
$(BUILD)/tests/part-proto.a: $(PROTO)
$(BUILD)/tests/part-client.a: $(CLIENT) $(PROTO)
$(BUILD)/tests/part-ctl.a: $(CTL) $(PROTO)
$(BUILD)/tests/part-daemon.a: $(DAEMON) $(CLIENT) $(PROTO)
$(BUILD)/tests/part-util.a: $(TESTUTIL)
# What a part allocates can be refused by a test: tests/failing.h.
$(BUILD)/tests/part-%.a: $(flags) tests/failing.syms
	@mkdir -p $(@D); rm -f $@
	$(call quiet,AR)$(AR) rcs $@ $(filter %.o,$^)
	$(if $(filter util,$*),,@$(OBJCOPY) --redefine-syms=tests/failing.syms $@)

part_of = $(if $(filter client_%,$(1)),client,$(if $(filter ctl_% ctl,$(1)),ctl,$(if \
	$(wildcard proto/$(firstword $(subst _, ,$(1))).c),proto,daemon)))
pkgs_client := $(TEST_PKGS)
pkgs_proto := $(TEST_PKGS)
pkgs_ctl := $(TEST_PKGS) $(CTL_PKGS)
pkgs_daemon := $(TEST_PKGS) $(DAEMON_PKGS)

define check_rule
$(BUILD)/tests/check_$(1): $(BUILD)/tests/check_$(1).o $(BUILD)/tests/part-util.a \
		$(BUILD)/tests/part-$(call part_of,$(1)).a $(FAILING)
	$$(call quiet,LD)$$(link) $$(call pkg_libs,$$(pkgs_$(call part_of,$(1)))) -lm -pthread
endef
$(foreach t,$(CHECKS),$(eval $(call check_rule,$(t))))

# tests/system/peer_*.c: peers of the daemon that tests start, on unmodified libnanomsg, or
# on nng where the name says so. (The two export the same names: no program can have both.)
$(peers): $(BUILD)/tests/system/peer_%: $(BUILD)/tests/system/peer_%.o $(BUILD)/tests/part-proto.a
	$(call quiet,LD)$(link) $(if $(findstring nng,$*),-lnng,$(call pkg_libs,nanomsg)) -pthread

# Programs that are users of the library: the public header and the shared object, no more.
user_libs = -L$(BUILD) -ldynamo-metrics -Wl,-rpath,'$$ORIGIN/../..' -lm -pthread
$(systest): $(BUILD)/%: $(BUILD)/%.o $(so) $(sodev)
	$(call quiet,LD)$(link) $(user_libs)
$(examples): $(BUILD)/%: $(BUILD)/%.o $(so) $(sodev)
	$(call quiet,LD)$(if $(wildcard $*.cpp),$(link_cxx),$(link)) \
		$(if $(findstring nanomsg,$*),$(call pkg_libs,nanomsg),$(user_libs))

$(BUILD)/tests/sacred/app: $(sacred_objects) $(so) $(sodev)
	$(call quiet,LD)$(link) $(user_libs)
$(BUILD)/tests/sacred/app_nanomsg: $(sacred_objects) $(BUILD)/tests/sacred/nanomsg.o $(so) $(sodev)
	$(call quiet,LD)$(link) $(user_libs) $(call pkg_libs,nanomsg)
$(BUILD)/tests/sacred/app_late: $(sacred_objects) $(BUILD)/tests/sacred/late.o $(so)
	$(call quiet,LD)$(link) -pthread
$(BUILD)/tests/sacred/failing_malloc.so: $(BUILD)/tests/sacred/failing_malloc.o
	$(call quiet,LD)$(CC) $(CFLAGS) $(link_flags) -shared $(LDFLAGS) -o $@ $<

programs: all $(examples) $(systest) $(peers) $(sacred)
tests: $(if $(T),,programs) $(checks)	## build the tests without running them

# What runs a test program: nothing, or valgrind.
RUNNER ?=
test_env = DYNM_BUILD='$(abspath $(BUILD))' PYTHON='$(PYTHON)' CC='$(CC)' CXX='$(CXX)'

check: tests	## run the unit tests
	@$(test_env) RUNNER='$(RUNNER)' tests/unit $(checks)

system: programs	## run the end-to-end tests: real workers, daemon and Prometheus
	@$(test_env) $(PYTHON) tests/system/run $(SYSTEM_TESTS)

scale: programs	## the end-to-end tests of many series, with a million of them
	@$(test_env) DYNM_SCALE=1000000 $(PYTHON) tests/system/run test_scale

churn: programs	## 100,000 workers that come and are gone, 20,000 that are killed and replaced
	@$(test_env) DYNM_CHURN=$${DYNM_CHURN:-100000} PREFORK_KILLS=$${PREFORK_KILLS:-20000} \
		$(PYTHON) tests/system/run test_churn test_prefork

# At random, but for what SEED decides: what is killed, when, and how often.
chaos: $(daemon) $(BUILD)/tests/chaos/worker	## kill daemon and workers for a while, and count (SEED=n SECONDS=s)
	@$(test_env) $(PYTHON) tests/chaos/run --seed $(or $(SEED),1) --seconds $(or $(SECONDS),40)

simulate: $(BUILD)/tests/check_simulation	## workers and daemon in one process, every fault, from seeds (SEED=n SECONDS=s)
	@$< $(or $(SEED),1) $(or $(SECONDS),60)

# SACRED='3 11': these conditions; SECONDS: of each (default 3).
sacred: $(daemon) $(sacred)	## what an application notices of its metrics, in 20 conditions: nothing
	@$(test_env) $(PYTHON) tests/sacred/run $(if $(SECONDS),--seconds $(SECONDS)) $(SACRED)

test: test-deps	## install what is missing, build, run all tests
	+@$(MAKE) --no-print-directory check
	+@$(MAKE) --no-print-directory system

# Sanitizers and valgrind take their time: JOBS suites run at once.
slowly = JOBS="$${JOBS:-$$(nproc)}" CK_TIMEOUT_MULTIPLIER="$${CK_TIMEOUT_MULTIPLIER:-$(1)}" $(MAKE) --no-print-directory
VALGRIND ?= valgrind -q --error-exitcode=9 --leak-check=full --fair-sched=try \
	--errors-for-leak-kinds=definite --show-leak-kinds=definite

asan:	## the unit tests, with the address and undefined behaviour sanitizers
	+@$(call slowly,5) SAN=address,undefined check
tsan:	## the unit tests, with the thread sanitizer
	+@TSAN_OPTIONS="$${TSAN_OPTIONS:-die_after_fork=0}" $(call slowly,5) SAN=thread check
# Thousands of random lives: the sanitizers go through them in a hundredth of the time.
lives := simulation cases_disk apply_replay_random persist_failing \
	snapshot_damage snapshot_journal snapshot_random
valgrind: tests	## the unit tests under valgrind, but for those of random lives
	+@WHOLE=1 $(call slowly,20) RUNNER='$(VALGRIND)' T='$(filter-out $(lives),$(CHECKS))' check

# SHARE=1/3 SEED=text: a part of them; JOBS=n at once; MUTANTS='name...': these.
mutants:	## break the program in each way of tests/mutants/, show which test notices
	@$(test_env) tests/mutate $(MUTANTS)

# ---- Trying it -----------------------------------------------------------------------------

deps:	## install the packages that are missing to build (DEPS=skip: do not)
	@DEPS='$(DEPS)' tests/deps build
test-deps:
	@DEPS='$(DEPS)' tests/deps build test

run: deps	## install what is missing, build, start the daemon with demo workers
	+@$(MAKE) --no-print-directory demo
demo: all $(examples)
	@BUILD='$(BUILD)' exec client/examples/run

show-abort: programs	## 17 bytes that abort a libnanomsg server, and not this daemon
	@$(test_env) $(PYTHON) tests/system/show_abort.py

docs: $(BUILD)/tests/check_config_reload	## write the table of keys into conf/ and docs/
	@DYNM_WRITE=1 $<

# ---- Checks of the source ------------------------------------------------------------------

check-header:	## the header in C99, C11 and C++17, and misuses that must not compile
	@$(test_env) tests/header/run

check-layers:	## prove that includes point down
	@tests/layers

CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format))
formatted = $(shell find client ctl daemon proto tests -name '*.[ch]' -o -name '*.cpp')
format:	## format the source
	$(CLANG_FORMAT) -i $(formatted)
format-check:	## fail where the source is not formatted
	$(CLANG_FORMAT) --dry-run -Werror $(formatted)

# ---- Installing ----------------------------------------------------------------------------

# source : installed path : mode
installed := \
	$(daemon):$(SBINDIR)/dynamo-metricsd:755 \
	$(ctl):$(BINDIR)/dynamo-metricsctl:755 \
	ctl/completion.bash:$(DATADIR)/bash-completion/completions/dynamo-metricsctl:644 \
	ctl/_dynamo-metricsctl:$(DATADIR)/zsh/site-functions/_dynamo-metricsctl:644 \
	$(lib):$(LIBDIR)/libdynamo-metrics.a:644 \
	$(so):$(LIBDIR)/$(soname):644 \
	client/include/dynamo/metrics.h:$(INCLUDEDIR)/dynamo/metrics.h:644 \
	$(pc):$(LIBDIR)/pkgconfig/dynamo-metrics.pc:644
field = $(word $(1),$(subst :, ,$(2)))
devlink := $(DESTDIR)$(LIBDIR)/libdynamo-metrics.so
conf := $(DESTDIR)$(SYSCONFDIR)/dynamo-metricsd.json

install: all	## install under DESTDIR and PREFIX (/usr/local)
	@set -e; $(foreach i,$(installed),install -D -m $(call field,3,$(i)) $(call field,1,$(i)) \
		'$(DESTDIR)$(call field,2,$(i))';) ln -sf $(soname) '$(devlink)'
	@test -e '$(conf)' || install -D -m 644 conf/dynamo-metricsd.json '$(conf)'
	@test -n '$(DESTDIR)' || test "$$(id -u)" != 0 || ldconfig
	@echo 'installed under $(DESTDIR)$(PREFIX), configuration $(conf)'

# A configuration that somebody changed is theirs.
uninstall:	## remove what install put there; a changed configuration stays
	@rm -f $(foreach i,$(installed),'$(DESTDIR)$(call field,2,$(i))') '$(devlink)'
	@! cmp -s conf/dynamo-metricsd.json '$(conf)' || rm -f '$(conf)'
	@test ! -d '$(DESTDIR)$(INCLUDEDIR)/dynamo' || rmdir '$(DESTDIR)$(INCLUDEDIR)/dynamo'
	@test -n '$(DESTDIR)' || test "$$(id -u)" != 0 || ldconfig

clean:	## remove build/
	rm -rf build

help:	## this list
	@sed -n 's/^\([a-z-]*\):[^#=]*## */\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
