"""`wormfocus sensitivity`: which layers of a run's network suffer from int8."""

from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import write_json
from wormfocus.export import Cache, Quantization, RunFolder, Stacks
from wormfocus.judging import JsonFile

_SHOWN = 12


@app.command("sensitivity")
def sensitivity(
    run: RunFolder,
    stacks: Stacks = None,
    quantization: Annotated[
        Quantization, typer.Option(help="static-int8 or dynamic-int8.")
    ] = Quantization.STATIC,
    cache: Cache = None,
    json_file: JsonFile = None,
) -> None:
    """Quantize one block of a network at a time, on validation images, and tell what each costs.

    Then tell which ones `wormfocus export` would spare. Nothing is written.
    """
    from export.build import quantized, quantizer_of
    from export.data import export_data
    from hw.errors import ConfigError, StackError
    from training.run import load_run

    if quantization.value in ("float16", "float32"):
        raise ConfigError(
            f"--quantization {quantization.value} has no int8; give static-int8 or dynamic-int8"
        )
    finished = load_run(run)
    data = export_data(finished, stacks or finished.stacks, cache, print)
    if not len(data.validation.images):
        raise StackError(f"{run}: none of the stacks was validated on; add their folder with --stacks")
    choice = quantized(finished, data, quantizer_of(finished, data), quantization.value, ranked=True)
    plain, loss = choice.plain_loss, choice.loss
    assert plain is not None, "there are samples"
    assert loss is not None, "there are samples"
    print(f"{'moves offsets by':>18}  {'MAE':>7}  block, quantized alone")
    for each in choice.ranking[:_SHOWN]:
        print(f"{each.rms_um:15.2f} um  {each.ratio:6.3f}x  {each.block.name}")
    if len(choice.ranking) > _SHOWN:
        print(f"and {len(choice.ranking) - _SHOWN} more that move them less")
    print(f"loss {plain - 1:.1%} with nothing spared, {loss - 1:.1%} as exported, of which")
    for what, some in (("measure their input", choice.spared), ("stay in float", choice.left_float)):
        print(f"  {what}: {', '.join(block.name for block in some) or 'none'}")
    if json_file:
        write_json(json_file, choice.figures())
