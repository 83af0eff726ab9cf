"""How much codes keep of items that the fit did not see, and what may be wrong with it.

- *learned by heart*: of such items they keep less than half of the share of variance that they keep
  of the items of the fit.
- *keeps little*: they leave more than 80% of their variance unexplained.
- *no better than noise*: they keep no more than ideal codes of as many bits keep of pure noise of
  that width, and that is little, or the embeddings spread as noise does. By rate-distortion theory
  no codes can keep more of noise; of real embeddings they keep far more.

A table with one of these is fair; with the last, or with several, it is poor. Of the real
catalogues that mmq was tried on, six codes of 100 keep 22% to 58% of new items' variance, and .54
and more of what they keep of the fit's items (``experiments/quantisers.py``,
``catalogues`` of ``experiments/tokenizers.py``).
"""

from __future__ import annotations

from typing import NamedTuple

from mmq.semantic_ids._manifest import FitRef

LEAST = 0.2
"""Share of new items' variance below which the codes keep little."""

CARRIED = 0.5
"""Share kept of new items over that of the fit's items below which these were learned by heart."""

AS_NOISE = 0.9
"""Variance left unexplained over that of pure noise above which codes find no structure."""

MUCH_LEFT = 0.5
"""Variance left unexplained that is fine, whatever it is of."""

HEART, LITTLE, NOISE = "learned by heart", "keeps little", "no better than noise"


class Kept(NamedTuple):
    """Shares of variance that the codes alone keep.

    Attributes:
        fitted: of the items of the fit.
        new: of items that were held out.
        bound: the most that codes of this rate can keep of a Gaussian of the same spread, None
            where it is not known.
        noise: the same of pure noise of this width.
        more_noise: what to do about codes that were learned by heart, beside smaller codebooks:
            more of the noise that makes codewords robust, by the name of its setting; empty where
            the tokenizer has none.
    """

    fitted: float
    new: float
    bound: float | None
    noise: float | None
    more_noise: str

    @classmethod
    def of(cls, fit: FitRef | None) -> Kept | None:
        """What a fit says; None where it held nothing out, or nothing is known of it."""
        if fit is None:
            return None
        seen, new = (fit["fvu_codes"].get(part) for part in ("fit", "held_out"))
        if seen is None or new is None:
            return None
        bound, noise = (None if each is None else 1 - each for each in (fit["bound"], fit["noise"]))
        return cls(1 - seen, 1 - new, bound, noise, _more_noise(fit))

    @property
    def wrong(self) -> list[str]:
        """Names of what is wrong."""
        found = {
            HEART: self.new < CARRIED * self.fitted,
            LITTLE: self.new < LEAST,
            NOISE: self.as_noise,
        }
        return [name for name, is_so in found.items() if is_so]

    @property
    def structured(self) -> bool:
        """Whether the embeddings are known to spread less evenly than noise."""
        if self.bound is None or self.noise is None:
            return False
        return 1 - self.bound < AS_NOISE * (1 - self.noise)

    @property
    def as_noise(self) -> bool:
        """Whether codes do no better on new items than they would on noise."""
        if self.noise is None or 1 - self.new < AS_NOISE * (1 - self.noise):
            return False
        even = self.bound is not None and not self.structured
        return even or 1 - self.new > MUCH_LEFT

    def sentence(self) -> str:
        """The figures of what is wrong, and what to do about it."""
        ideal = [
            f"{_whole(share)} {of}"
            for share, of in (
                (self.bound, "of Gaussian embeddings of this spread"),
                (self.noise, "of pure noise"),
            )
            if share is not None
        ]
        figures = (
            f"the codes keep {_whole(self.new)} of the variance of items that the fit did not "
            f"see, and {_whole(self.fitted)} of those it saw"
        )
        if ideal:
            figures += f" (ideal codes of as many bits keep {' and '.join(ideal)})"
        return f"{figures}; {self._remedy()}"

    def _remedy(self) -> str:
        first = self.wrong[0]
        if first == HEART:
            remedy = "fit on more items, or with fewer or smaller codebooks"
            if self.more_noise:
                remedy = remedy.replace(", or", ",") + f", or with {self.more_noise}"
        elif first == LITTLE:
            remedy = "fit with more positions or larger codebooks"
        else:
            remedy = "fit for longer, where epochs are a setting, or with another kind of tokenizer"
        if self.as_noise and not self.structured:
            remedy += "; if that does not help, look at the embeddings: random ones look like this"
        return remedy


def _more_noise(fit: FitRef) -> str:
    if "noise_setting" not in fit:
        return "more noise (smoothing, or input_noise where it was learned by gradient)"
    return f"more noise (setting {fit['noise_setting']})" if fit["noise_setting"] else ""


def percent(share: float) -> str:
    """A share in percent, with two digits at most."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _whole(share: float) -> str:
    return f"{100 * share:.0f}%" if share > 0 else "nothing"
