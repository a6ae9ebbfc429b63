# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# bash completion of kata-netmon. Uses nothing of the bash-completion package, and is found by it as
# /usr/share/bash-completion/completions/kata-netmon.

# _kata_netmon_words WORD...: those that begin with what was typed
_kata_netmon_words() {
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$_kata_netmon_typed")
}

# _kata_netmon_files [-d]: file names (or folders); bash adds slashes and quotes
_kata_netmon_files() {
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen "${1:--f}" -- "$_kata_netmon_typed")
}

# _kata_netmon_kinds: a list with commas, completed behind the last one
_kata_netmon_kinds() {
	local before=""
	compopt -o nospace
	if [[ $_kata_netmon_typed == *,* ]]; then
		before=${_kata_netmon_typed%,*},
	fi
	mapfile -t COMPREPLY < <(compgen -P "$before" -W 'veth tap macvlan ipvlan physical' -- "${_kata_netmon_typed##*,}")
}

# _kata_netmon_sandboxes: of Kata and of our own state
_kata_netmon_sandboxes() {
	local path id
	local -a ids=()
	for path in /run/vc/sbs/* /run/kata/* /var/run/kata-containers/netmon/sbs/*; do
		id=${path##*/}
		# compgen -W expands its words: nothing but an id may get there.
		if [[ -d $path && $id =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]]; then
			ids+=("$id")
		fi
	done
	_kata_netmon_words "${ids[@]}"
}

_kata_netmon_namespaces() {
	if [[ -z $_kata_netmon_typed && -d /run/netns ]]; then
		_kata_netmon_typed=/run/netns/
	fi
	_kata_netmon_files
}

# _kata_netmon_value OPTION: the values that it takes; false when it takes none
_kata_netmon_value() {
	case $1 in
	s) _kata_netmon_sandboxes ;;
	r) _kata_netmon_files -c ;;
	log) _kata_netmon_words panic fatal error warn info debug trace ;;
	log-target) _kata_netmon_words auto journal syslog stderr ;;
	sink) _kata_netmon_words cli agent record ;;
	agent) _kata_netmon_words auto vsock:// hvsock:// unix:// remote:// pipe:// ;;
	withdraw) _kata_netmon_words bounce report ;;
	dialect) _kata_netmon_words 1.12 1.13 both ;;
	on-change) _kata_netmon_words ignore replug ;;
	kinds) _kata_netmon_kinds ;;
	netns) _kata_netmon_namespaces ;;
	state-dir) _kata_netmon_files -d ;;
	audit) _kata_netmon_files ;;
	ignore | settle | runtime-timeout | receive-buffer | record-fail | vm-pid) ;;
	*) return 1 ;;
	esac
}

_kata_netmon_options() {
	_kata_netmon_words -s -r -d -log -h -help -v -version \
		--agent --audit --dialect --ignore --kinds --link-local --log-target --netns --on-change --once \
		--receive-buffer --record-fail --runtime-timeout --settle --sink --state-dir --vm-pid --withdraw
}

# The words behind -x, -x= and "-x =": bash breaks words at '=' (COMP_WORDBREAKS).
_kata_netmon() {
	local _kata_netmon_typed=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
	COMPREPLY=()
	if [[ $_kata_netmon_typed == "=" ]]; then
		_kata_netmon_typed=""
	elif [[ $option == "=" ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [[ $option == -* ]]; then
		option=${option#-}
		if _kata_netmon_value "${option#-}"; then
			return
		fi
	fi
	_kata_netmon_options
}

complete -F _kata_netmon kata-netmon
