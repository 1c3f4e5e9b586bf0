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
MANDIR     ?= $(DATADIR)/man
DOCDIR     ?= $(DATADIR)/doc/dynamo-metricsd
# Where the configuration is put. The daemon reads that in /etc, or what its unit says.
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d

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

DAEMON_PKGS := libevent jansson libisal libsystemd
CTL_PKGS    := nanomsg jansson
TEST_PKGS   := check nanomsg

# ---- Flags ---------------------------------------------------------------------------------

# gcc sees conversions in what its sanitizers add.
warn := -Wall -Wextra -Wpedantic -Wshadow $(if $(SAN),,-Wconversion) -Wformat=2 -Wvla \
	$(if $(WERROR),-Werror)
warn_c := -Wstrict-prototypes -Wmissing-prototypes
optimised := $(filter-out -O0,$(filter -O%,$(CFLAGS)))
# A sanitizer replaces the functions that _FORTIFY_SOURCE wraps: one or the other. Who builds a
# package may have a level of their own.
fortified := $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS))
harden := -fstack-protector-strong \
	$(if $(SAN)$(fortified),,$(if $(optimised),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
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
SYSPEERS := $(patsubst tests/system/peer_%.c,%,$(sort $(wildcard tests/system/peer_*.c)))
BENCHES := $(basename $(call sources,tests/bench) $(sort $(wildcard tests/bench/*.cpp)))
FUZZES := $(basename $(call objects,$(sort $(wildcard tests/fuzz/fuzz_*.c))))
FAILING := $(BUILD)/tests/failing.o
TESTUTIL := $(filter-out $(FAILING),$(call objects,\
	$(filter-out tests/check_%,$(call sources,tests))))
EXAMPLES := $(basename $(sort $(wildcard client/examples/*.c client/examples/*.cpp)))
SYSTEST  := $(basename $(filter-out tests/system/peer_%,$(call sources,tests/system)) \
	$(call sources,tests/chaos) $(call sources,tests/service)) tests/attack/bystander

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
peers  := $(SYSPEERS:%=$(BUILD)/tests/system/peer_%)
examples := $(EXAMPLES:%=$(BUILD)/%)
systest  := $(SYSTEST:%=$(BUILD)/%)
benches  := $(BENCHES:%=$(BUILD)/%)
counts   := $(basename $(call objects,$(call sources,tests/counts)))
overload := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/overload/wire_*.c tests/overload/client_*.c))

quiet = $(if $(V),,@printf '  %-5s %s\n' $(1) $(@:$(BUILD)/%=%);)

.PHONY: all programs tests check system test-system test-image scale churn chaos attack simulate decimals counts counts-write sacred test run demo docs deps test-deps bench-deps asan tsan valgrind arm64 \
	fuzz fuzz-programs fuzz-targets fuzz-objects fuzz-plant fuzz-replay fuzz-planted fuzz-merge fuzz-coverage \
	mutants bench bench-programs profile bench-peers bench-docs overload soak soak-docs growth install uninstall deb test-packages check-layers check-header format format-check show-abort clean help FORCE
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
$(BUILD)/tests/fuzz/%.o: part := -Iproto -Idaemon -Iclient -Iclient/include -Itests -Itests/fuzz -fPIE \
	$(call pkg_cflags,$(DAEMON_PKGS))
$(BUILD)/planted/%.o: part := -Iproto -Idaemon -Iclient -Iclient/include -fPIC \
	$(call pkg_cflags,$(DAEMON_PKGS))
$(BUILD)/tests/system/%.o:    part := -Iclient/include -fPIE
$(BUILD)/tests/chaos/%.o:     part := -Iclient/include -Itests -fPIE
$(BUILD)/tests/attack/%.o:    part := -Iclient/include -fPIE
$(BUILD)/tests/sacred/%.o:    part := -Iclient/include -fPIC
$(BUILD)/tests/bench/client_%.o: part := -Iclient/include -Itests/bench -fPIE
$(BUILD)/tests/bench/daemon_%.o: part := -Iproto -Idaemon -Itests/bench -fPIE \
	$(call pkg_cflags,$(DAEMON_PKGS) zlib)
$(BUILD)/tests/bench/floor/%.o: part := -Itests/bench -fPIC
$(BUILD)/tests/bench/clientin_%.o: part := -Iproto -Iclient -Iclient/include -Itests/bench -fPIE
$(BUILD)/tests/bench/cxx_%.o: part := -Itests/bench -fPIE
$(BUILD)/tests/bench/wire_%.o: part := -Iproto -Itests/bench -fPIE
$(BUILD)/tests/overload/%.o: part := -Iproto -Itests/overload -fPIE
$(BUILD)/tests/overload/client_%.o: part := -Iclient/include -Itests/overload -fPIE
$(BUILD)/tests/counts/client_%.o: part := -Iclient/include -Itests/counts -fPIE
$(BUILD)/tests/counts/clientin_%.o: part := -Iproto -Iclient -Iclient/include -Itests/counts -fPIE
$(BUILD)/tests/counts/daemon_%.o: part := -Iproto -Idaemon -Itests/counts -fPIE
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
$(BUILD)/places: export places_now := $(VERSION) $(PREFIX) $(LIBDIR) $(INCLUDEDIR) $(SBINDIR) \
	$(BINDIR) $(SYSCONFDIR)
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
pkgs_daemon := $(TEST_PKGS) $(DAEMON_PKGS) zlib

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

# tests/attack: what floods a daemon, and a plain libnanomsg server that gets the same.
attackers := $(addprefix $(BUILD)/tests/attack/,flood plain)
$(attackers): $(BUILD)/%: $(BUILD)/%.o
	$(call quiet,LD)$(link) $(if $(findstring plain,$*),$(call pkg_libs,nanomsg)) -pthread

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

# tests/fuzz: X in fuzz_X.c is a target; X_*.c is for it alone, and other files for all. A planted
# one has some objects of its own in front of what all of them have.
fuzz_targets := $(FUZZES:$(BUILD)/tests/fuzz/fuzz_%=%)
fuzz_own = $(call objects,tests/fuzz/fuzz_$(1).c $(sort $(wildcard tests/fuzz/$(1)_*.c)))
fuzz_util := $(call objects,$(filter-out tests/fuzz/fuzz_% $(fuzz_targets:%=tests/fuzz/%_%),\
	$(call sources,tests/fuzz)) $(sort $(wildcard tests/sim*.c)))
fuzz_part := $(BUILD)/tests/fuzz/part.a
$(fuzz_part): $(DAEMON) $(CLIENT) $(PROTO) $(fuzz_util)
	$(call quiet,AR)rm -f $@; $(AR) rcs $@ $^
fuzz_link = $(link) -fsanitize=fuzzer $(call pkg_libs,$(DAEMON_PKGS)) -lm -pthread
define fuzz_rule
$(BUILD)/tests/fuzz/fuzz_$(1): $(call fuzz_own,$(1)) $(fuzz_part)
	$$(call quiet,LD)$$(fuzz_link)
endef
$(foreach t,$(fuzz_targets),$(eval $(call fuzz_rule,$(t))))
planted := $(BUILD)/planted/$(PLANTED)
$(planted)/%.o: $(planted)/%.c $(flags)
	$(call quiet,CC)$(CC) $(c_flags) $(part) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
fuzz-plant: $(planted)/fuzz
$(planted)/fuzz: $(if $(PLANTED),$(patsubst %.c,%.o,$(shell find $(planted) -name '*.c' 2>/dev/null)) \
		$(call fuzz_own,$(PLANTED))) $(fuzz_part)
	$(call quiet,LD)$(fuzz_link)

# What make bench measures with: users of the library, the inside of the daemon, plain sockets.
# floor: what no library can do with less. clientin_*: the inside of the library.
$(BUILD)/tests/bench/libfloor.so: $(BUILD)/tests/bench/floor/floor.o
	$(call quiet,LD)$(CC) $(CFLAGS) $(link_flags) -shared -Wl,-soname,libfloor.so $(LDFLAGS) -o $@ $<
$(BUILD)/tests/bench/client_%: $(BUILD)/tests/bench/client_%.o $(so) $(sodev) $(BUILD)/tests/bench/libfloor.so
	$(call quiet,LD)$(link) -L$(@D) -lfloor -Wl,-rpath,'$$ORIGIN' $(user_libs)
$(BUILD)/tests/bench/clientin_%: $(BUILD)/tests/bench/clientin_%.o $(CLIENT) $(PROTO)
	$(call quiet,LD)$(link) -lm -pthread
$(BUILD)/tests/bench/daemon_%: $(BUILD)/tests/bench/daemon_%.o $(DAEMON) $(PROTO)
	$(call quiet,LD)$(link) $(call pkg_libs,$(DAEMON_PKGS) zlib) -lm -pthread
# The daemon with a page of its own.
$(BUILD)/tests/bench/daemon_page: $(BUILD)/tests/bench/daemon_page.o $(BUILD)/daemon/main.o \
		$(filter-out %/daemon/http_page.o,$(DAEMON)) $(PROTO)
	$(call quiet,LD)$(link) $(call pkg_libs,$(DAEMON_PKGS)) -lm
$(BUILD)/tests/bench/cxx_%: $(BUILD)/tests/bench/cxx_%.o
	$(call quiet,LD)$(link_cxx) -lm
$(BUILD)/tests/bench/wire_%: $(BUILD)/tests/bench/wire_%.o $(PROTO)
	$(call quiet,LD)$(link) -lm -pthread

# Many processes that do the same, and one that is many workers.
$(BUILD)/tests/overload/client_%: $(BUILD)/tests/overload/client_%.o $(BUILD)/tests/overload/crowd.o $(so) $(sodev)
	$(call quiet,LD)$(link) $(user_libs)
$(BUILD)/tests/overload/wire_%: $(BUILD)/tests/overload/wire_%.o $(BUILD)/tests/overload/crowd.o \
		$(BUILD)/tests/overload/raw.o $(PROTO)
	$(call quiet,LD)$(link) -lm

# What make counts counts, and in what.
$(BUILD)/tests/counts/client_%: $(BUILD)/tests/counts/client_%.o $(so) $(sodev)
	$(call quiet,LD)$(link) $(user_libs)
$(BUILD)/tests/counts/clientin_%: $(BUILD)/tests/counts/clientin_%.o $(CLIENT) $(PROTO)
	$(call quiet,LD)$(link) -lm -pthread
$(BUILD)/tests/counts/daemon_%: $(BUILD)/tests/counts/daemon_%.o $(DAEMON) $(PROTO)
	$(call quiet,LD)$(link) $(call pkg_libs,$(DAEMON_PKGS)) -lm -pthread

programs: all $(examples) $(systest) $(attackers) $(peers) $(sacred) $(benches) $(overload)
# Without libFuzzer they can be compiled, not linked: warnings show.
fuzz-objects: $(foreach t,$(fuzz_targets),$(call fuzz_own,$(t))) $(fuzz_util)
fuzz-targets: $(FUZZES)
tests: $(if $(T),,programs fuzz-objects) $(checks)	## build the tests without running them

# What runs a test program: nothing, or valgrind.
RUNNER ?=
test_env = DYNM_BUILD='$(abspath $(BUILD))' PYTHON='$(PYTHON)' CC='$(CC)' CXX='$(CXX)'

check: tests	## run the unit tests
	@$(test_env) RUNNER='$(RUNNER)' tests/unit $(checks)

system: programs	## run the end-to-end tests: real workers, daemon and Prometheus
	@$(test_env) $(PYTHON) tests/system/run $(SYSTEM_TESTS)

# SERVICE_TESTS='test_life...': these. What it needs that is missing is not installed here.
test-system: programs	## the service in a booted systemd, in a container; needs root
	@$(test_env) $(PYTHON) tests/service/run $(SERVICE_TESTS)

# Docker is not needed, but debootstrap. The Debian is made once, and stays beside the builds.
IMAGE ?= $(BUILD)/../image
test-image: programs	## take the steps of deploy/Dockerfile, and run what comes out; needs root
	@DEPS='$(DEPS)' tests/deps build package
	@PACKAGES= tests/packages/root $(abspath $(IMAGE))/base
	@$(test_env) DYNM_IMAGE='$(abspath $(IMAGE))' $(PYTHON) tests/system/run test_image

scale: programs	## the end-to-end tests of many series, with a million of them
	@$(test_env) DYNM_SCALE=1000000 $(PYTHON) tests/system/run test_scale

churn: programs	## 100,000 workers that come and are gone, 20,000 that are killed and replaced
	@$(test_env) DYNM_CHURN=$${DYNM_CHURN:-100000} PREFORK_KILLS=$${PREFORK_KILLS:-20000} \
		$(PYTHON) tests/system/run test_churn test_prefork

# At random, but for what SEED decides: what is killed, when, and how often.
chaos: $(daemon) $(BUILD)/tests/chaos/worker	## kill daemon and workers for a while, and count (SEED=n SECONDS=s)
	@$(test_env) $(PYTHON) tests/chaos/run --seed $(or $(SEED),1) --seconds $(or $(SECONDS),40)

# ATTACKS='I07 H%': these; QUICK=1: all of them, briefly, times judged kindly; COMPARE=0:
# without a libnanomsg server that gets the same.
attack: $(daemon) $(ctl) $(attackers) $(BUILD)/tests/attack/bystander	## attack the daemon in every way of tests/attack/, and see who notices (ATTACKS= QUICK=)
	@$(test_env) QUICK='$(QUICK)' COMPARE='$(COMPARE)' $(PYTHON) tests/attack/run $(ATTACKS)

# SECONDS=n WORKERS=n; MINUTES=n. Their figures: build/overload.json and build/soak.json.
overload_runs = $(test_env) $(PYTHON) tests/overload
overload: $(daemon) $(overload) $(BUILD)/tests/system/worker	## 1,000 workers that want to send ten times what the daemon takes
	@$(overload_runs)/run --seconds $(or $(SECONDS),180) --workers $(or $(WORKERS),1000) \
		--json '$(abspath $(BUILD)/..)/overload.json'
soak: $(daemon) $(overload) $(addprefix $(BUILD)/tests/system/,worker churn peer_churn)	## half an hour of churn: nothing grows (MINUTES=n)
	@$(overload_runs)/soak --minutes $(or $(MINUTES),30) --json '$(abspath $(BUILD)/..)/soak.json'
soak-docs:	## what those two have measured last, into docs/performance.md
	@$(PYTHON) tests/bench/docs --overload '$(abspath $(BUILD)/..)/overload.json' \
		--soak '$(abspath $(BUILD)/..)/soak.json'

simulate: $(BUILD)/tests/check_simulation	## workers and daemon in one process, every fault, from seeds (SEED=n SECONDS=s)
	@$< $(or $(SEED),1) $(or $(SECONDS),60)

decimals: $(BUILD)/tests/check_decimal	## random doubles as text, against strtod() and printf() (SEED=n N=number)
	@$< $(or $(SEED),1) $(or $(N),100000000)

counts: $(counts)	## how many instructions the hot paths take, and whether one has grown
	@$(test_env) CFLAGS='$(CFLAGS)' $(PYTHON) tests/counts/run
counts-write: $(counts)	## write those figures into tests/counts/counts.json
	@$(test_env) CFLAGS='$(CFLAGS)' $(PYTHON) tests/counts/run write

# SACRED='3 11': these conditions; SECONDS: of each (default 3).
sacred: $(daemon) $(sacred)	## what an application notices of its metrics, in 20 conditions: nothing
	@$(test_env) $(PYTHON) tests/sacred/run $(if $(SECONDS),--seconds $(SECONDS)) $(SACRED)

bench-programs: all $(benches)

# ROWS='counter% gauge_set': these rows; PEERS=none: ours alone; QUICK=1: does it all run?
bench_env = ROWS='$(ROWS)' ROUNDS='$(ROUNDS)' PEERS='$(PEERS)' QUICK='$(QUICK)' \
	BENCH_JSON='$(abspath $(BUILD)/..)/bench.json'
bench-peers:
	@$(if $(filter none,$(PEERS)),:,nice tests/bench/peers/build $(BUILD)/tests/bench/peers)
bench: bench-programs bench-peers	## how fast: floors, ours and peers in turns (ROWS= ROUNDS= PEERS= QUICK=)
	@$(test_env) $(bench_env) $(PYTHON) tests/bench/run
growth: bench-programs $(peers)	## how time and memory grow, into docs/performance.json (CURVES= QUICK=)
	@$(test_env) CURVES='$(CURVES)' QUICK='$(QUICK)' $(PYTHON) tests/bench/growth
	@$(if $(QUICK),:,$(PYTHON) tests/bench/docs)
bench-docs:	## the plots and tables of docs/performance.md (TAKE=build/bench.json: of that run)
	@$(PYTHON) tests/bench/docs $(if $(TAKE),--take $(TAKE))

test: test-deps	## install what is missing, build, run all tests
	+@$(MAKE) --no-print-directory check
	+@$(MAKE) --no-print-directory system

# Sanitizers and valgrind take their time.
slowly = CK_TIMEOUT_MULTIPLIER="$${CK_TIMEOUT_MULTIPLIER:-$(1)}" $(MAKE) --no-print-directory
VALGRIND ?= valgrind -q --error-exitcode=9 --leak-check=full --fair-sched=try \
	--errors-for-leak-kinds=definite --show-leak-kinds=definite

asan:	## the unit tests, with the address and undefined behaviour sanitizers
	+@$(call slowly,5) SAN=address,undefined check
# Thousands of random lives, texts, numbers and series, of one thread: address and undefined go
# through them in a hundredth of the time that valgrind takes.
lives := simulation cases_disk apply_replay_random decimal index json_random persist_failing \
	registry_memory registry_nasty repeats snapshot_damage snapshot_failing snapshot_journal \
	snapshot_random
tsan:	## the unit tests, with the thread sanitizer, but for those of random lives
	+@TSAN_OPTIONS="$${TSAN_OPTIONS:-die_after_fork=0}" $(call slowly,5) SAN=thread \
		T='$(filter-out $(lives),$(CHECKS))' check
valgrind: tests	## the unit tests under valgrind, but for those of random lives
	+@WHOLE=1 $(call slowly,20) RUNNER='$(VALGRIND)' T='$(filter-out $(lives),$(CHECKS))' check

# Another architecture, with its own rules of what is seen when. Not what qemu-user cannot do:
# tests/arm64/excused. Nothing is installed but a compiler and qemu: the libraries are unpacked.
ARM64 ?= build/arm64
arm64_root := $(abspath $(ARM64))/sysroot
arm64_libs := $(arm64_root)/usr/lib/aarch64-linux-gnu
arm64_includes := $(addprefix -isystem $(arm64_root)/usr/include,/ /aarch64-linux-gnu)
arm64_tools := CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar OBJCOPY=aarch64-linux-gnu-objcopy
arm64_left_out = $(shell sed -n 's/^check_\([a-z_]*\): .*/\1/p' tests/arm64/excused)
arm64:	## the unit tests, cross-compiled for arm64, under qemu-user (T=some)
	@test -n '$(filter-out $(arm64_left_out),$(CHECKS))' || \
		{ echo 'make: $(T) is left out under qemu: tests/arm64/excused' >&2; exit 1; }
	@DEPS='$(DEPS)' tests/deps build test arm64
	@tests/arm64/sysroot $(arm64_root)
	+@PKG_CONFIG_SYSROOT_DIR=$(arm64_root) PKG_CONFIG_LIBDIR=$(arm64_libs)/pkgconfig \
		EXCUSED=tests/arm64/excused $(call slowly,4) BUILD=$(ARM64)/build $(arm64_tools) \
		CPPFLAGS='$(arm64_includes)' LDFLAGS='-L$(arm64_libs) -Wl,-rpath,$(arm64_libs),--disable-new-dtags' \
		RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu' \
		T='$(filter-out $(arm64_left_out),$(CHECKS))' check

# libFuzzer is clang's: a build of its own. FUZZ='sp json': these targets; JOBS=n at once.
FUZZ_BUILD ?= build/fuzz
FUZZ_CC ?= clang
fuzz_make = --no-print-directory CC='$(FUZZ_CC)' BUILD='$(FUZZ_BUILD)' \
	SAN=fuzzer-no-link,address,undefined CFLAGS='-O2 -g1 -fno-omit-frame-pointer $(FUZZ_CFLAGS)'
fuzz_run = @FUZZ_MAKE="$(fuzz_make)" DYNM_BUILD='$(abspath $(FUZZ_BUILD))' FUZZ='$(FUZZ)' \
	FUZZ_S='$(FUZZ_S)' $(PYTHON) tests/fuzz/run
fuzz-programs:
	@command -v '$(FUZZ_CC)' >/dev/null || DEPS='$(DEPS)' tests/deps build fuzz
	@echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
		'$(FUZZ_CC)' -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null || { echo \
		"make: '$(FUZZ_CC)' has no libFuzzer here: apt-get install clang libclang-rt-14-dev" >&2; exit 1; }
	+@$(MAKE) $(fuzz_make) $(if $(FUZZ),$(FUZZ:%='$(FUZZ_BUILD)'/tests/fuzz/fuzz_%),fuzz-targets)
fuzz: fuzz-programs	## random inputs, sanitizers, and what has to hold (FUZZ_S=60 FUZZ='sp json')
	$(fuzz_run) fuzz
fuzz-replay: fuzz-programs	## the inputs of tests/fuzz/corpus, once
	$(fuzz_run) replay
fuzz-planted: fuzz-programs	## each target has to find a mistake that was put there for it
	+$(fuzz_run) planted
fuzz-merge: fuzz-programs	## renew tests/fuzz/corpus with what make fuzz found
	+$(fuzz_run) merge
fuzz-coverage:	## how many lines the corpus of each target reaches (llvm-cov)
	+@$(MAKE) --no-print-directory FUZZ_BUILD='$(FUZZ_BUILD)-coverage' \
		FUZZ_CFLAGS='-fprofile-instr-generate -fcoverage-mapping' fuzz-programs
	@mkdir -p '$(FUZZ_BUILD)-coverage/corpus'
	@cp -r '$(FUZZ_BUILD)'/corpus/. '$(FUZZ_BUILD)-coverage/corpus' 2>/dev/null || true
	@DYNM_BUILD='$(abspath $(FUZZ_BUILD)-coverage)' FUZZ='$(FUZZ)' $(PYTHON) tests/fuzz/run coverage

# SHARE=1/3 SEED=text: a part of them; JOBS=n at once; MUTANTS='name...': these.
mutants:	## break the program in each way of tests/mutants/, show which test notices
	@$(test_env) tests/mutate $(MUTANTS)

# ---- Trying it -----------------------------------------------------------------------------

deps:	## install the packages that are missing to build (DEPS=skip: do not)
	@DEPS='$(DEPS)' tests/deps build
test-deps:
	@DEPS='$(DEPS)' tests/deps build test
profile: bench-programs	## where the daemon's time goes while 8 workers send (perf, else callgrind)
	@$(test_env) $(PYTHON) tests/bench/profile $(SECONDS)

bench-deps:	## install the peers that make bench measures beside us
	@DEPS='$(DEPS)' tests/deps build test bench

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

# The units are literal, for /usr: what they run may be installed elsewhere.
$(BUILD)/systemd/%: systemd/% $(BUILD)/places
	@mkdir -p $(@D)
	$(call quiet,GEN)sed -e 's|/usr/sbin/dynamo-|$(SBINDIR)/dynamo-|g' \
		-e 's|/usr/bin/dynamo-|$(BINDIR)/dynamo-|g' $(if $(filter-out /etc,$(SYSCONFDIR)),$(elsewhere)) \
		$< > $@
elsewhere = -e 's|/etc/d|$(SYSCONFDIR)/d|g' -e \
	's|^\(Exec[A-Za-z]*=[^ ]*/dynamo-metricsd\)\( --check-config\)*$$|\1 --config -$(SYSCONFDIR)/dynamo-metricsd.json\2|'
units := $(addprefix $(BUILD)/,$(wildcard systemd/*.service systemd/*.socket))
drop_ins := $(addprefix $(BUILD)/systemd/,hardened.conf activated.conf)

# source : installed path : mode
to = $(foreach file,$(1),$(file):$(2)/$(notdir $(file)):644)
manuals := $(wildcard docs/man/*.[1-8])
section = $(MANDIR)/man$(subst .,,$(suffix $(1)))
installed := \
	$(daemon):$(SBINDIR)/dynamo-metricsd:755 \
	$(ctl):$(BINDIR)/dynamo-metricsctl:755 \
	ctl/completion.bash:$(DATADIR)/bash-completion/completions/dynamo-metricsctl:644 \
	ctl/_dynamo-metricsctl:$(DATADIR)/zsh/site-functions/_dynamo-metricsctl:644 \
	$(lib):$(LIBDIR)/libdynamo-metrics.a:644 \
	$(so):$(LIBDIR)/$(soname):644 \
	client/include/dynamo/metrics.h:$(INCLUDEDIR)/dynamo/metrics.h:644 \
	$(pc):$(LIBDIR)/pkgconfig/dynamo-metrics.pc:644 \
	systemd/sysusers.conf:$(SYSUSERSDIR)/dynamo-metrics.conf:644 \
	systemd/tmpfiles.conf:$(TMPFILESDIR)/dynamo-metrics.conf:644 \
	$(call to,$(units),$(UNITDIR)) \
	$(call to,$(drop_ins),$(DOCDIR)) \
	$(foreach page,$(manuals),$(call to,$(page),$(call section,$(page))))
# Every name that a page has in its NAME section has a link to it. path of the link : page
names_of = $(filter-out $(basename $(notdir $(1))),$(shell \
	sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([A-Za-z0-9_.-]*\).*/\1/p' $(1)))
manual_links = $(foreach page,$(manuals),$(foreach name,$(call names_of,$(page)),$(call \
	section,$(page))/$(name)$(suffix $(page)):$(notdir $(page))))
# Where there is one already, it stays: it is somebody's.
configuration := $(foreach file,\
	conf/dynamo-metricsd.json:$(SYSCONFDIR)/dynamo-metricsd.json:644 \
	conf/dynamo-metricsd.default:$(SYSCONFDIR)/default/dynamo-metricsd:644,\
	$(if $(wildcard $(firstword $(subst :, ,$(file)))),$(file)))
field = $(word $(1),$(subst :, ,$(2)))
source_of = '$(call field,1,$(1))'
target_of = '$(DESTDIR)$(call field,2,$(1))'
put = install -D -m $(call field,3,$(1)) $(call source_of,$(1)) $(call target_of,$(1));
devlink := $(DESTDIR)$(LIBDIR)/libdynamo-metrics.so

# The files, and no more: no user is made and nothing is started. What comes next is said.
install: all $(units) $(drop_ins)	## install under DESTDIR and PREFIX (/usr/local)
	@set -e; $(foreach i,$(installed),$(call put,$(i))) ln -sf $(soname) '$(devlink)'; \
		$(foreach i,$(manual_links),ln -sf $(call field,2,$(i)) '$(DESTDIR)$(call field,1,$(i))';)
	@set -e; $(foreach i,$(configuration),test -e $(call target_of,$(i)) || $(call put,$(i)))
	@test -n '$(DESTDIR)' || test "$$(id -u)" != 0 || ldconfig
	@echo 'installed under $(DESTDIR)$(PREFIX), configuration $(DESTDIR)$(SYSCONFDIR)/dynamo-metricsd.json'
	@test -n '$(DESTDIR)' || test ! -d /run/systemd/system || printf '%s\n' \
		'as a service, with a user of its own:' '  systemd-sysusers dynamo-metrics.conf' \
		'  systemd-tmpfiles --create dynamo-metrics.conf' '  systemctl daemon-reload' \
		'  systemctl enable --now dynamo-metricsd'

# A configuration that somebody changed is theirs, and so is the state.
uninstall:	## remove what install put there; a changed configuration, and the state, stay
	@rm -f $(foreach i,$(installed),$(call target_of,$(i))) '$(devlink)' \
		$(foreach i,$(manual_links),'$(DESTDIR)$(call field,1,$(i))')
	@$(foreach i,$(configuration),! cmp -s $(call source_of,$(i)) $(call target_of,$(i)) || \
		rm -f $(call target_of,$(i));)
	@for folder in '$(DESTDIR)$(INCLUDEDIR)/dynamo' '$(DESTDIR)$(DOCDIR)'; do \
		test ! -d "$$folder" || rmdir --ignore-fail-on-non-empty "$$folder"; done
	@test -n '$(DESTDIR)' || test "$$(id -u)" != 0 || ldconfig

DEB ?= build/deb
deb:	## build the Debian packages into build/deb
	@DEPS='$(DEPS)' tests/deps build package
	@debian/pack '$(abspath $(DEB))' '$(VERSION)'

# PACKAGE_TESTS='Built OnAMachine.test_x': some of them.
DEBIAN ?= build/debian
test-packages: programs	## the Debian packages, on clean machines that systemd has booted; needs root
	@DEPS='$(DEPS)' tests/deps build service package
	@$(test_env) VERSION='$(VERSION)' DYNM_DEB='$(abspath $(DEB))' DYNM_DEBIAN='$(abspath $(DEBIAN))' \
		$(PYTHON) tests/packages/run $(PACKAGE_TESTS)

clean:	## remove build/
	rm -rf build

help:	## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#=]*## */\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
