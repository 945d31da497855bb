"""`wormfocus doctor`: whether a rig is fit to run, item by item."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import finite, write_json

if TYPE_CHECKING:
    from hw.check import Check
    from hw.config import RigConfig

__all__ = ["examine"]

FRAMES_S = 2.0
TIMING_S = 1.0

Look = tuple[str, "Callable[[], list[Check]]"]


@app.command("doctor")
def doctor(
    rig: Annotated[str, typer.Option(help="Rig file, or the name of a shipped rig.")],
    bundle: Annotated[str, typer.Option(help="Bundle, or the name of a shipped one.")] = "default",
    sessions: Annotated[Path, typer.Option(help="Folder that sessions are to be written in.")] = Path(),
    stack: Annotated[Path | None, typer.Option(help="Stack or folder of planes for a replayed rig.")] = None,
    move: Annotated[
        int | None,
        typer.Option(min=1, help="Also move the lens by so many steps and back; without this, never."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, callback=finite, help="How long frames are watched.")
    ] = FRAMES_S,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings here.")] = None,
) -> int:
    """Say whether a rig is fit to run, item by item; exit status 1 when it is not. Moves nothing."""
    from hw.check import Status
    from hw.config import load_rig

    config = load_rig(rig)
    notice = {"simulated": "SIMULATED", "replayed": "REPLAYED"}.get(config.kind, "")
    title = " ".join(filter(None, (notice, config.name)))
    print(f"{title}: {config.kind} rig, bundle {bundle}")
    findings = examine(config, bundle, sessions, stack=stack, move=move, seconds=seconds)
    bad = [check for check in findings if check.status in (Status.missing, Status.failed)]
    doubtful = [check.name for check in findings if check.status is Status.warning]
    if bad:
        print(f"{title}: NOT FIT to run: {', '.join(check.name for check in bad)}")
    else:
        print(f"{title}: fit to run" + (f"; with a warning: {', '.join(doubtful)}" if doubtful else ""))
    if json_file is not None:
        rows = [
            {"name": c.name, "status": str(c.status), "seen": c.seen, "next_step": c.next_step}
            for c in findings
        ]
        write_json(json_file, {"rig": rig, "notice": notice, "fit": not bad, "checks": rows})
    return 1 if bad else 0


def examine(
    config: "RigConfig",
    bundle: str,
    sessions: Path,
    *,
    stack: Path | None = None,
    move: int | None = None,
    seconds: float = FRAMES_S,
) -> list["Check"]:
    """Look at everything that a rig's file says it has, print each finding at once, and return them all."""
    from hw.check import guarded

    findings: list[Check] = []
    for name, look in _looks(config, bundle, sessions, stack, move, seconds):
        found = guarded(name, look)
        for check in found:
            print(f"{check.status:<8} {check.name:<15} {check.seen}", flush=True)
            if check.next_step:
                print(f"{'':<24} -> {check.next_step}", flush=True)
        findings += found
    return findings


def _looks(
    config: "RigConfig", bundle: str, sessions: Path, stack: Path | None, move: int | None, seconds: float
) -> list[Look]:
    from edge.bundle.check import check_bundle, check_runtime
    from hw.machine import check_board, check_disk, check_temperature, check_throttling

    real = config.kind == "pi"
    looks: list[Look] = [("board", lambda: [check_board(needs_pi=real)])]
    if real:
        looks += [("power", lambda: [check_throttling()]), ("temperature", lambda: [check_temperature()])]
    looks += [
        ("disk", lambda: [check_disk(sessions, config.camera.fps)]),
        ("LiteRT runtime", lambda: [check_runtime()]),
        ("bundle", lambda: check_bundle(bundle, config)),
    ]
    if real:
        looks += [("step timing", lambda: _look_at_timing(config)), ("GPIO", lambda: _look_at_gpio(config))]
    if config.kind != "replayed":
        looks.append(("axis", lambda: _look_at_axis(config, move)))
    if real:
        looks.append(("picamera2", lambda: _look_for_cameras(config)))
    looks.append(("camera", lambda: _look_at_camera(config, stack, seconds)))
    return looks


def _look_at_timing(config: "RigConfig") -> list["Check"]:
    from hw.gpio.timing import check_step_timing, measure_apart

    return check_step_timing(measure_apart(config.axis.max_speed_steps_s, TIMING_S, config.axis.drive))


def _look_at_gpio(config: "RigConfig") -> list["Check"]:
    from hw.check import Check, Status
    from hw.gpio.checks import check_gpio

    if config.gpio is None:
        return [
            Check("GPIO", Status.failed, "the rig file has no gpio section", "say where the motor is wired")
        ]
    return check_gpio(config.gpio)


def _look_at_axis(config: "RigConfig", move: int | None) -> list["Check"]:
    from hw.axis_check import check_axis, check_kept_position, check_move
    from hw.check import Check, Status, guarded
    from hw.errors import GpioUnavailable
    from hw.rig import open_axis

    try:
        part = open_axis(config)
    except GpioUnavailable as error:
        seen, _, step = str(error).rpartition("; ")
        return [Check("axis", Status.missing, seen, step), check_kept_position(config.axis)]
    with part:
        found = check_axis(config.axis, part.axis)
        if move is not None:
            found += guarded("move", lambda: [check_move(part.axis, part.clock, move)])
        return found


def _look_for_cameras(config: "RigConfig") -> list["Check"]:
    from hw.picamera.check import check_picamera2

    return check_picamera2(0 if config.picamera is None else config.picamera.number)


def _look_at_camera(config: "RigConfig", stack: Path | None, seconds: float) -> list["Check"]:
    from hw.camera_check import check_frames
    from hw.check import Check, Status, guarded
    from hw.errors import CameraUnavailable
    from hw.rig import open_camera

    try:
        part = open_camera(config, stack=stack)
    except CameraUnavailable as error:
        seen, _, step = str(error).rpartition("; ")
        return [Check("camera", Status.missing, seen, step)]
    with part:
        size = f"{part.config.width_px}x{part.config.height_px} px at {part.config.fps:g} a second"
        opened = Check("camera", Status.ok, f"opened, {size}")
        watched = guarded("frames", lambda: check_frames(part.config, part.camera, part.clock, seconds))
        return [opened, *watched]
