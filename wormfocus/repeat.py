"""The line that repeats a command, for reports."""

import shlex

import typer

__all__ = ["command_line"]


def command_line(context: typer.Context) -> str:
    """Return the command as it was given, with the options that were given and no others."""
    words, arguments = context.command_path.split(), []
    for parameter in context.command.params:
        name = parameter.name
        source = context.get_parameter_source(name) if name else None
        if name is None or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        values = list(value) if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            arguments += [str(each) for each in values]
            continue
        option = max(parameter.opts, key=len)
        for each in values:
            words += [option] if isinstance(each, bool) else [option, str(each)]
    return shlex.join([*words, *arguments])
