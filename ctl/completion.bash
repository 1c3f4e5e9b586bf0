# SPDX-License-Identifier: Apache-2.0
#
# Completion of dynamo-metricsctl for bash.

# The names of the metrics that the daemon shows, without its own; nothing if it is not there.
__dynamo_metricsctl_names() {
	dynamo-metricsctl --timeout-ms 500 expose 2>/dev/null |
		sed -n '/^# TYPE \(process_\|dynamo_metricsd_\|dynamo_system_\)/d
			s/^# TYPE \([^ ]*\) .*/\1/p'
}

_dynamo_metricsctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local general='--address --timeout-ms --help --version'
	local commands='send expose status remove log-level tail bridge'
	local command= word i after=0 own=

	# The first word that is no option, nor the argument of one; words after it.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-a | --address | -t | --timeout-ms | -f | --file | --level | --count) ((i++)) ;;
		-*) ;;
		*) if [[ -z $command ]]; then command=$word; else ((after++)); fi ;;
		esac
	done
	case $command in
	send) own='--file --json' ;;
	status) own='--json' ;;
	remove) own='--level --dry-run --json' ;;
	tail) own='--count --json' ;;
	esac

	COMPREPLY=()
	case $prev in
	-f | --file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-a | --address | -t | --timeout-ms | --level | --count) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$general $own" -- "$cur")
		return
	fi
	case $command in
	'') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
	send)
		if [[ $cur == @* ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -P @ -f -- "${cur#@}")
		fi
		;;
	log-level)
		((after)) || mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- "$cur")
		;;
	remove)
		((after)) ||
			mapfile -t COMPREPLY < <(compgen -W "$(__dynamo_metricsctl_names)" -- "$cur")
		;;
	bridge)
		if ((after == 0)); then
			compopt -o nospace 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -W 'tcp:// ws:// ipc://' -- "$cur")
		fi
		;;
	esac
}

complete -F _dynamo_metricsctl dynamo-metricsctl
