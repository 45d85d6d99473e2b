"""Completion scripts, made from the table of commands."""

from __future__ import annotations

from frontinus.client.commands import commands
from frontinus.client.commands.base import Command
from frontinus.client.helping import GROUPS
from frontinus.client.main import VALUED, make_parser

SCRIPT = """# completion for frontinus; load it with: source <(frontinus completion {shell})
{compat}_frontinus() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command="" word
    local skip=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        if [ -n "$skip" ]; then skip=""; continue; fi
        case $word in {valued}) skip=1 ;; -*) ;; *) command=$word; break ;; esac
    done
    COMPREPLY=()
    case $command in
{cases}
    help) COMPREPLY=($(compgen -W "{groups} {names}" -- "$current")) ;;
    "") COMPREPLY=($(compgen -W "{names} {options}" -- "$current")) ;;
    esac
}}
complete -o default -F _frontinus frontinus
"""
NAMES = {
    "guest": "$(frontinus list --all --name 2>/dev/null)", "network": "$(frontinus net-list --all --name 2>/dev/null)",
    "pool": "$(frontinus pool-list --all --name 2>/dev/null)",
    "filter": "$(frontinus -q nwfilter-list 2>/dev/null | sed 's/.* //')",
    "secret": "$(frontinus -q secret-list 2>/dev/null | awk '{print $1}')",
}  # fmt: skip
"""What lists the names of each kind of object."""


def script(shell: str) -> str:
    """The script for bash, or for zsh through its bash compatibility."""
    compat = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    table = commands()
    options = [name for action in make_parser([])._actions for name in action.option_strings if name.startswith("--")]
    return SCRIPT.format(
        shell=shell, compat=compat, cases="\n".join(_case(command) for command in table.values() if command.name != "help"),
        names=" ".join(sorted(table)), options=" ".join(options), groups=" ".join(GROUPS), valued="|".join(VALUED),
    )  # fmt: skip


def _case(command: Command) -> str:
    words = [name for argument in command.arguments for name in argument.names if name.startswith("--")]
    words += [choice for argument in command.arguments for choice in argument.options.get("choices", ())]
    words += [NAMES[kind] for kind in dict.fromkeys(a.complete for a in command.arguments) if kind in NAMES]
    return f'    {command.name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current")) ;;'
