"""Whether a bundle is whole, from whom it says it is, and does what its card says: finding by finding."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.bundle.card import FocusCard
from edge.bundle.file import Bundle, bundle_of, check_trusted, read_card
from edge.bundle.layout import Parts, read_parts
from edge.bundle.predictor import Prediction, Predictor
from edge.bundle.signature import CryptographyMissing, PublicKey, Trust, trust_in
from edge.bundle.textures import textures
from hw.check import Check, Status, guarded
from hw.errors import BundleError

__all__ = ["verify_bundle"]

IMAGES = 16


def verify_bundle(path: Path, trusted: Collection[PublicKey] | None = None) -> Iterator[Check]:
    """Look at a bundle's file, its card, its signature, and at what the network does.

    The network is not asked before the file was found to be the one that was written.

    Parameters
    ----------
    path : of the file
    trusted : keys, by one of which it must be signed; None where that is not asked for. A signature that is
        not of this network and card is a failure in any case

    Yields
    ------
    Check
        One by one. None follows one that has failed, because it would depend on that.
    """
    look = _Look(path, trusted)
    stages: dict[str, Callable[[], Check]] = {
        "file": look.at_file,
        "card": look.at_card,
        "network": look.at_network,
        "signature": look.at_signature,
        "interpreter": look.at_interpreter,
        "answers": look.at_answers,
    }
    for name, stage in stages.items():
        for check in guarded(name, lambda stage=stage: [stage()]):  # type: ignore[misc]
            yield check
            if check.status is Status.failed:
                return


@dataclass
class _Look:
    """What is known of a bundle so far; each look needs those before it."""

    path: Path
    trusted: Collection[PublicKey] | None
    parts: Parts = field(init=False)
    card: FocusCard = field(init=False)
    bundle: Bundle = field(init=False)
    predictor: Predictor = field(init=False)

    def at_file(self) -> Check:
        self.parts = read_parts(self.path)
        members = ", ".join(name for name, _ in self.parts.members)
        size = self.path.stat().st_size
        return Check("file", Status.ok, f"{size} bytes as they were written: network, {members}")

    def at_card(self) -> Check:
        self.card = read_card(self.path, self.parts.card)
        seen = f"{self.card.name}, {self.card.architecture}, schema version {self.card.schema_version}"
        return Check("card", Status.ok, seen)

    def at_network(self) -> Check:
        self.bundle = bundle_of(self.path, self.parts, self.card)
        return Check("network", Status.ok, f"SHA-256 {self.card.flatbuffer_sha256}, as the card says")

    def at_signature(self) -> Check:
        signature = self.bundle.signature
        if signature is None and self.trusted is None:
            return Check("signature", Status.ok, "none")
        try:
            trust = trust_in(self.parts, signature, self.trusted or ())
        except CryptographyMissing as error:
            if self.trusted is not None or signature is None:
                raise
            seen, _, step = str(error).rpartition("; ")
            return Check("signature", Status.warning, f"not checked: {seen}", step)
        if signature is None or self.trusted is not None or trust is Trust.wrong:
            check_trusted(self.path, trust, signature)
        key = "" if signature is None else signature.key_id
        if trust is Trust.good:
            return Check("signature", Status.ok, f"good, by key {key}")
        step = "give the key that you trust with --public-key"
        return Check("signature", Status.warning, f"intact, by unknown key {key}", step)

    def at_interpreter(self) -> Check:
        self.predictor = Predictor(self.bundle)
        spec, outputs = self.card.input, self.card.outputs
        return Check(
            "interpreter",
            Status.ok,
            f"takes {spec.width_px}x{spec.height_px}x{spec.channels} {self.card.input_dtype}, gives "
            f"{outputs.width} per image ({outputs.kind}), as the card says",
        )

    def at_answers(self) -> Check:
        spec = self.card.input
        images = textures(IMAGES, spec.width_px, spec.height_px, self.card.normalisation)
        first = [self.predictor.predict(image) for image in images]
        # Backwards, and by an interpreter that saw nothing else: answers must not depend on what came before.
        again = [self.predictor.predict(image) for image in images[::-1]][::-1]
        fresh = Predictor(self.bundle)
        if not first == again == [fresh.predict(image) for image in images]:
            raise BundleError(
                f"{self.path}: the same image is not answered the same way twice; update ai-edge-litert"
            )
        _refuse_no_numbers(self.path, first)
        offsets_um = [answer.offset_um for answer in first]
        return Check(
            "answers",
            Status.ok,
            f"the same three times on {IMAGES} generated images, {min(offsets_um):.1f} to "
            f"{max(offsets_um):.1f} um",
        )


def _refuse_no_numbers(path: Path, answers: list[Prediction]) -> None:
    # Predictor gives such an answer where the network gave no number.
    broken = sum(answer.sigma_um == float("inf") for answer in answers)
    if broken:
        raise BundleError(
            f"{path}: {broken} of {len(answers)} answers are no numbers; export the bundle again"
        )
