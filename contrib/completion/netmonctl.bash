# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# bash completion of netmonctl. Uses nothing of the bash-completion package, and is found by it as
# /usr/share/bash-completion/completions/netmonctl.

# _netmonctl_words WORD...: those that begin with what was typed
_netmonctl_words() {
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$_netmonctl_typed")
}

_netmonctl_files() {
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen -f -- "$_netmonctl_typed")
}

# _netmonctl_sandboxes: those that Kata's shims have
_netmonctl_sandboxes() {
	local path id
	local -a ids=()
	for path in /run/vc/sbs/* /run/kata/*; do
		id=${path##*/}
		# compgen -W expands its words: nothing but an id may get there.
		if [[ -d $path && $id =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]]; then
			ids+=("$id")
		fi
	done
	_netmonctl_words "${ids[@]}"
}

# _netmonctl_verbs GROUP
_netmonctl_verbs() {
	case $1 in
	kata-network) _netmonctl_words add-iface del-iface update-routes list-ifaces list-routes ;;
	agent) _netmonctl_words ping version details interfaces routes neighbours iptables ;;
	esac
}

_netmonctl_options() {
	_netmonctl_words --agent --help --ipv6 --json --timeout --version --wait
}

# _netmonctl_place GROUP COUNT SECOND: what stands behind COUNT words of a command, SECOND being one
_netmonctl_place() {
	case $1:$2 in
	:0) _netmonctl_words kata-network agent ;;
	kata-network:1 | agent:2) _netmonctl_verbs "$1" ;;
	kata-network:2 | agent:1) _netmonctl_sandboxes ;;
	kata-network:3) [[ $3 == list-* ]] || _netmonctl_files ;;
	esac
}

_netmonctl() {
	local _netmonctl_typed=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word takes_value=""
	local -a words=() line=()
	COMPREPLY=()
	if [[ $_netmonctl_typed == -?* ]]; then
		_netmonctl_options
		return
	fi
	case $previous in
	--agent | --timeout | --wait | =) return ;;
	esac
	# bash breaks words at ':' and '=' too, and a URL has both: the line is read anew. The 'x' makes a word of
	# what is typed also when that is nothing yet; where it is part of a longer word there is nothing to offer.
	read -ra line <<<"${COMP_LINE:0:COMP_POINT}x"
	if [[ ${_netmonctl_typed}x != *"${line[-1]}" ]]; then
		return
	fi
	for word in "${line[@]:1:${#line[@]}-2}"; do
		if [[ -n $takes_value ]]; then
			takes_value=""
		elif [[ $word == --agent || $word == --timeout || $word == --wait ]]; then
			takes_value=yes
		elif [[ $word != -?* ]]; then
			words+=("$word")
		fi
	done
	_netmonctl_place "${words[0]:-}" "${#words[@]}" "${words[1]:-}"
}

complete -F _netmonctl netmonctl
