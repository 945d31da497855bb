"""Writing what was measured into a rig file, so that all else in it stays as it was: comments, order, layout.

A value is replaced where it stands in the text. Whatever the layout, the edited text is read again before it
is written, and must say what was asked for and nothing else.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from hw.calibration_record import CalibrationRecord, Change, Value
from hw.config import RigConfig, load_model, shipped_rigs
from hw.errors import ConfigError
from hw.whole_file import put_in_place

__all__ = ["check_writable", "record_calibration", "rig_text"]

HISTORY = "calibration"


def check_writable(rig: str, out: Path | None) -> Path:
    """Say which file results go to, before anything is measured.

    Parameters
    ----------
    rig : path of a rig file, or the name of a shipped rig
    out : file to write instead

    Returns
    -------
    Path
        `out`, or the rig file itself.

    Raises
    ------
    ConfigError
        The rig is a shipped one and there is no `out`, or `out` exists or is no YAML file's name.
    """
    if out is None:
        if rig in shipped_rigs():
            raise ConfigError(
                f"rig '{rig}' ships with the program and stays as it is; give --out FILE.yaml for a copy "
                "with the results, or --dry-run"
            )
        return Path(rig)
    if out.suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"{out}: a rig file's name ends in .yaml; name another file")
    if out.exists():
        raise ConfigError(f"{out}: is there already; name another file, or calibrate it with --rig {out}")
    return out


def record_calibration(
    rig: str, path: Path, by: str, values: Mapping[str, Value], found: Mapping[str, Value], notice: str = ""
) -> CalibrationRecord:
    """Write results into a rig file, with date and old values; the new file is there whole or not at all.

    Parameters
    ----------
    rig : path of the rig file that was calibrated, or the name of a shipped rig
    path : file to write, from `check_writable`
    by : the command, such as 'calibrate axis'
    values : keys of the rig file, such as `axis.backlash_steps`, and their new values
    found : what was measured, for the record
    notice : the open rig's

    Raises
    ------
    ConfigError
        The file cannot be read or written, or has a layout that cannot be edited safely; then nothing has
        been changed.
    """
    text = rig_text(rig)
    before = yaml.safe_load(text)
    record = CalibrationRecord(
        date=datetime.now(UTC).replace(microsecond=0),
        by=by,
        notice=notice,
        changed={key: Change(before=_value_at(before, key), now=value) for key, value in values.items()},
        found=dict(found),
    )
    entry = record.model_dump(mode="python")
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        _section(before, section)[name] = value
    before[HISTORY] = [*(before.get(HISTORY) or []), entry]
    try:
        edited = text
        for key, value in values.items():
            edited = _with_value(edited, key, value)
        edited = _with_entry(edited, entry)
        safe = yaml.safe_load(edited) == before
    except yaml.YAMLError:
        safe = False
    if not safe:
        wanted = ", ".join(f"{key}: {_scalar(value)}" for key, value in values.items())
        raise ConfigError(f"{path}: its layout cannot be edited safely; write it in by hand: {wanted}")
    _replace(path, edited)
    return record


def rig_text(rig: str) -> str:
    """Return the text of a rig file, line ends as they are.

    Raises
    ------
    ConfigError
        It cannot be read.
    """
    path = Path(rig)
    if rig in shipped_rigs():
        path = Path(__file__).parent / "rigs" / f"{rig}.yaml"
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check the path") from error


def _with_value(text: str, key: str, value: Value) -> str:
    """Set one key; a new one becomes the last of its section."""
    section, _, name = key.rpartition(".")
    mapping = _node_at(text, section)
    for at, old in mapping.value:
        if at.value == name:
            return text[: old.start_mark.index] + _scalar(value) + text[old.end_mark.index :]
    line = f"{name}: {_scalar(value)}"
    if mapping.flow_style:
        begin = mapping.start_mark.index + 1
        return text[:begin] + line + (", " if mapping.value else "") + text[begin:]
    indent = " " * int(mapping.value[0][0].start_mark.column)
    return _after_line(text, _last_line(mapping), indent + line)


def _with_entry(text: str, entry: dict[str, Any]) -> str:
    """Append an entry to the history."""
    root = _node_at(text, "")
    lines = yaml.safe_dump([entry], sort_keys=False, default_flow_style=None, width=105).splitlines()
    for key, sequence in root.value:
        if key.value == HISTORY and not sequence.flow_style:
            indent = " " * int(sequence.start_mark.column)
            return _after_line(text, _last_line(sequence), *(indent + line for line in lines))
    end = _newline(text)
    whole = text if text.endswith("\n") else text + end
    return whole + end.join([f"{HISTORY}:", *("  " + line for line in lines), ""])


def _node_at(text: str, section: str) -> yaml.MappingNode:
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in section.split(".") if section else ():
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == part), None)
    if not isinstance(node, yaml.MappingNode):
        # It stands elsewhere, and is merged in.
        raise yaml.YAMLError(f"no section '{section}' in its place")
    return node


def _last_line(node: yaml.Node) -> int:
    """Return the last line that a node's values stand on; marks of a block reach past its comments."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    return _last_line(last[1] if isinstance(node, yaml.MappingNode) else last)


def _after_line(text: str, number: int, *lines: str) -> str:
    end = _newline(text)
    before = text.splitlines(keepends=True)
    if not before[number].endswith(("\n", "\r")):
        before[number] += end
    return "".join([*before[: number + 1], *(line + end for line in lines), *before[number + 1 :]])


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _scalar(value: Value) -> str:
    return str(yaml.safe_dump(value)).split("\n")[0]


def _section(data: dict[str, Any], section: str) -> dict[str, Any]:
    for part in section.split("."):
        data = data[part]
    return data


def _value_at(data: dict[str, Any], key: str) -> Value:
    section, _, name = key.rpartition(".")
    value: Value = _section(data, section).get(name)
    return value


def _replace(path: Path, text: str) -> None:
    """Write a rig file by way of another name, after checking that it is one."""
    scratch = path.with_name(f".{path.name}.new")
    try:
        scratch.write_bytes(text.encode("utf-8"))
        try:
            load_model(scratch, RigConfig)
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(scratch), str(path), 1)) from error
        if path.exists():
            scratch.chmod(path.stat().st_mode)
        put_in_place(scratch, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another with --out") from error
    finally:
        scratch.unlink(missing_ok=True)
