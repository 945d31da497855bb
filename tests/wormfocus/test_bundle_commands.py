"""`sign`, `verify` and `diff`: what they write, what they say, and their exit status."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import load_bundle
from edge.bundle.file import find_bundle
from edge.bundle.layout import Parts, read_parts, write_parts
from wormfocus.command import main


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return Path(shutil.copyfile(find_bundle("slide"), tmp_path / "slide.tflite"))


@pytest.fixture
def signing() -> None:
    pytest.importorskip("cryptography", reason="the extra 'sign' is not installed")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that has to end with status 2 and one line of ours on stderr, and return that."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wormfocus: ")]
    assert len(lines) == 1
    return lines[0]


def findings(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text())
    return record | {"by_name": {row["name"]: row["status"] for row in record["checks"]}}


def test_verify_tells_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "slide", "--json", str(tmp_path / "v.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].endswith("slide.tflite: sound")
    found = findings(tmp_path / "v.json")
    assert found["sound"] is True
    assert found["figures"] is None
    assert list(found["by_name"]) == ["file", "card", "network", "signature", "interpreter", "answers"]


def test_verify_refuses_a_damaged_file_with_one_line(
    slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = bytearray(slide.read_bytes())
    whole[5000] ^= 1
    slide.write_bytes(whole)
    line = refused(capsys, "verify", slide, "--json", tmp_path / "v.json")
    assert f"{slide}: network: altered: the network's SHA-256" in line
    found = findings(tmp_path / "v.json")
    assert (found["sound"], found["by_name"]["network"]) == (False, "failed")
    assert "cannot be read" in refused(capsys, "verify", tmp_path / "none.tflite")
    assert "unknown bundle" in refused(capsys, "verify", "sldie")


@pytest.mark.usefixtures("signing")
def test_sign_then_verify(slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, told = tmp_path / "lab", tmp_path / "told.json"
    assert main(["sign", str(slide), "--new-key", str(key), "--json", str(told)]) == 0
    signature = load_bundle(slide).signature
    assert signature is not None
    assert json.loads(told.read_text()) == {
        "key_id": signature.key_id,
        "bundle": str(slide),
        "flatbuffer_sha256": load_bundle(slide).card.flatbuffer_sha256,
    }
    assert main(["verify", str(slide), "--public-key", f"{key}.pub", "--json", str(told)]) == 0
    assert findings(told)["by_name"]["signature"] == "ok"
    capsys.readouterr()
    assert main(["verify", str(slide)]) == 0
    assert "sound; with a warning: signature" in capsys.readouterr().out
    assert main(["info", str(slide)]) == 0
    assert signature.key_id in capsys.readouterr().out

    other = tmp_path / "other"
    assert main(["sign", "--new-key", str(other)]) == 0
    assert "which is none of those trusted" in refused(
        capsys, "verify", slide, "--public-key", f"{other}.pub"
    )
    both = ["--public-key", f"{other}.pub", "--public-key", f"{key}.pub"]
    assert main(["verify", str(slide), *both]) == 0
    # Signed again, by the other, elsewhere: this copy stays as it is.
    again = tmp_path / "again.tflite"
    assert main(["sign", str(slide), "--key", str(other), "--out", str(again)]) == 0
    assert "in place of an earlier signature" in capsys.readouterr().out
    assert main(["verify", str(again), "--public-key", f"{other}.pub"]) == 0
    assert load_bundle(slide).signature == signature
    parts = read_parts(slide)
    write_parts(slide, Parts(parts.flatbuffer, parts.card + b"\n", parts.signature))
    assert "altered after it was signed" in refused(capsys, "verify", slide)
    assert "not signed" in refused(capsys, "verify", "slide", "--public-key", f"{key}.pub")


@pytest.mark.usefixtures("signing")
def test_sign_refuses_what_it_must_not_do(
    slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "lab"
    assert "either --key FILE, or --new-key" in refused(capsys, "sign", slide)
    assert "nothing to sign" in refused(capsys, "sign", "--key", key)
    assert "shipped bundle" in refused(capsys, "sign", "slide", "--new-key", key)
    assert "ends in .tflite" in refused(
        capsys, "sign", slide, "--new-key", key, "--out", tmp_path / "signed.bin"
    )
    slide.write_bytes(slide.read_bytes()[:-1])
    assert "truncated" in refused(capsys, "sign", slide, "--new-key", key)
    assert not key.exists()
    assert main(["sign", "--new-key", str(key)]) == 0
    assert "is there already" in refused(capsys, "sign", "--new-key", key)


def test_verify_measures_the_error_again(
    bundle: Path, stacks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts, out = read_parts(bundle), tmp_path / "v.json"
    card = json.loads(parts.card)

    def verify(told_um: float | None) -> list[str]:
        figures = {} if told_um is None else {"mae_um": told_um}
        text = json.dumps(card | {"validation": figures}).encode()
        write_parts(bundle, Parts(parts.flatbuffer, text))
        return ["verify", str(bundle), "--stacks", str(stacks), "--json", str(out)]

    # It learnt from these very stacks, its card says.
    assert "was trained on these stacks" in refused(capsys, *verify(1.0))
    card["training"]["fingerprint"] = "of others"
    line = refused(capsys, *verify(1.0))
    assert "error:" in line
    assert "the card says 1;" in line
    found = findings(out)
    assert (found["sound"], found["by_name"]["error"]) == (False, "failed")
    low_um, high_um = found["figures"]["intervals"]["mae_um"]
    assert low_um <= found["figures"]["mae_um"] <= high_um
    assert found["figures"]["specimens"] == 12
    # Five percent worse at least, even at the low end of the interval, is a failure; less is not.
    assert main(verify(low_um / 1.04)) == 0
    assert findings(out)["by_name"]["error"] == "ok"
    refused(capsys, *verify(low_um / 1.06))
    assert "tells no mae_um" in refused(capsys, *verify(None))


def test_diff_tells_only_what_differs(
    slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "diff.json"
    assert main(["diff", "slide", str(slide), "--images", "4", "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][2:] == ["weights", "answers"]
    assert any("the same 32 constants" in line for line in lines)
    found = json.loads(out.read_text())
    assert (found["card"], found["operators"], found["weights"]["changed"]) == ([], [], 0)
    assert found["answers"]["identical"] == found["answers"]["n"] == 4

    assert main(["diff", "default", "slide", "--images", "4", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    for said in ("optics.na", "+1400.0%", "focusnet_small -> focusnet_tiny", "CONV_2D", "correlation"):
        assert said in printed
    assert "validation.groups" not in printed
    found = json.loads(out.read_text())
    assert {"key": "rig", "first": "worm_tracker", "second": "slide_sim", "relative": None} in found["card"]
    assert any(row["operator"] == "CONV_2D" for row in found["operators"])


def test_diff_on_stacks(
    bundle: Path, stacks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = tmp_path / "other.tflite", tmp_path / "diff.json"
    parts = read_parts(bundle)
    card = json.loads(parts.card)
    card["outputs"]["scale_um"] *= 2
    write_parts(other, Parts(parts.flatbuffer, json.dumps(card).encode()))
    assert main(["diff", str(bundle), str(other), "--stacks", str(stacks), "--json", str(out)]) == 0
    assert "outputs.scale_um" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert [change["key"] for change in found["card"]] == ["outputs.scale_um"]
    assert found["card"][0]["relative"] == pytest.approx(1.0)
    answers = found["answers"]
    assert answers["n"] == 48
    assert answers["correlation"] == pytest.approx(1.0)
    assert answers["opposite_sign_rate"] in {0.0, None}
    assert answers["mean_abs_difference_um"] > 0
    assert "cannot be read" in refused(capsys, "diff", bundle, tmp_path / "none.tflite")
