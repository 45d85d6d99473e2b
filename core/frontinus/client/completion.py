"""Completion scripts, made from the table of commands."""

from __future__ import annotations

from frontinus.client.commands import commands
from frontinus.client.commands.base import Command

SCRIPT = """# completion for frontinus; load it with: source <(frontinus completion {shell})
{compat}_frontinus() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in -*) ;; *) command=$word; break ;; esac
    done
    COMPREPLY=()
    case $command in
{cases}
    "") COMPREPLY=($(compgen -W "{names}" -- "$current")) ;;
    esac
}}
complete -o default -F _frontinus frontinus
"""
NAMES = {
    "guest": "$(frontinus list --all --name 2>/dev/null)", "network": "$(frontinus net-list --all --name 2>/dev/null)",
}  # fmt: skip
"""What lists the names of each kind of object."""


def script(shell: str) -> str:
    """The script for bash, or for zsh through its bash compatibility."""
    compat = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    table = commands()
    cases = "\n".join(_case(command) for command in table.values())
    return SCRIPT.format(shell=shell, compat=compat, cases=cases, names=" ".join(sorted(table)))


def _case(command: Command) -> str:
    words = [name for argument in command.arguments for name in argument.names if name.startswith("--")]
    words += [choice for argument in command.arguments for choice in argument.options.get("choices", ())]
    words += [NAMES[kind] for kind in dict.fromkeys(a.complete for a in command.arguments) if kind in NAMES]
    return f'    {command.name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current")) ;;'
