"""Spectra: [B, d1 .. dk, 1] real or [B, d1 .. dk, 2] complex signals; and the determinant.

The windows (Hann, Hamming, Blackman) run by ONNX's own definition.
"""

import torch

from analysis.convert.registry import DType, Ints, OutputElement, Tensor, op

# ------------------------------------------------------------------ Fourier transforms


@op("DFT", 17)
def dft_17(x: Tensor, length: Ints | None = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0) -> Tensor:
    """Before opset 20 the axis is an attribute, the first signal axis by default."""
    return dft(x, length, (axis,), inverse=inverse, onesided=onesided)


@op("DFT", 20)
def dft(
    x: Tensor, length: Ints | None = None, axis: Ints | None = None, *, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """Sum of x[n] exp(-2 pi i k n / N) along an axis; one-sided: bins 0 .. N / 2, or back from these to reals."""
    along = (axis[0] if axis else -2) % x.ndim
    count = length[0] if length else None
    signal = _complex(x)
    if inverse and onesided:
        back: Tensor = torch.fft.irfft(signal, count, along)
        return back.unsqueeze(-1).to(x.dtype)
    if inverse:
        spectrum = torch.fft.ifft(signal, count, along)
    elif onesided and not signal.is_complex():
        spectrum = torch.fft.rfft(signal, count, along)
    else:
        spectrum = torch.fft.fft(signal, count, along)
        spectrum = spectrum.narrow(along, 0, spectrum.shape[along] // 2 + 1) if onesided else spectrum
    return torch.view_as_real(spectrum.resolve_conj()).to(x.dtype)


def _complex(x: Tensor) -> Tensor:
    """The last axis read as a real or a complex number, of at least 32 bits."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide[..., 0] if x.shape[-1] == 1 else torch.complex(wide[..., 0], wide[..., 1])


@op("STFT", 17)
def stft(
    signal: Tensor, step: Ints, window: Tensor | None = None, length: Ints | None = None, *, onesided: int = 1
) -> Tensor:
    """Spectra [B, frames, bins, 2] of windowed frames, `step` samples apart; exporters write signals [B, L], too."""
    signal = signal.unsqueeze(-1) if signal.ndim == 2 else signal
    if length is None:
        length = (signal.shape[1] if window is None else window.shape[0],)
    frames = signal.unfold(1, length[0], step[0])
    weighted = frames if window is None else frames * window
    return dft(weighted.movedim(2, -1), onesided=onesided)


@op("MelWeightMatrix", 17)
def mel_weight_matrix(
    bands: Ints, dft_length: Ints, sample_rate: Ints, lower: Tensor, upper: Tensor, *,
    output_datatype: DType | None = None, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """Triangles [bins, bands] evenly spaced on the mel scale 2595 log10(1 + hertz / 700)."""
    low, high = (2595 * torch.log10(1 + edge.double().reshape(()) / 700) for edge in (lower, upper))
    # the page has bands + 2 steps up to the upper edge, so that the last triangle ends one step before it
    mels = low + torch.arange(bands[0] + 2, device=lower.device) * (high - low) / (bands[0] + 2)
    hertz = 700 * (10 ** (mels / 2595) - 1)
    corners = torch.floor((dft_length[0] + 1) * hertz / sample_rate[0])
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    bins = torch.arange(dft_length[0] // 2 + 1, device=lower.device).unsqueeze(1)
    rising = (bins - left) / (centre - left).clamp(min=1)
    falling = (right - bins) / (right - centre).clamp(min=1)
    sides = torch.where(bins < centre, rising, falling).clamp(min=0)
    weights = torch.where(bins == centre, torch.ones_like(sides), sides)
    return weights.to(output_datatype or (element.dtype if element else torch.float32))


# ------------------------------------------------------------------ matrices


@op("Det", 11)
def det(x: Tensor) -> Tensor:
    """Determinants of the last two axes."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    value: Tensor = torch.linalg.det(wide)
    singular = value == 0
    if singular.any():  # where torch's gradient, which divides by the determinant, is 0 too
        linear = (wide * _cofactors(wide.detach().masked_fill(~singular[..., None, None], 0))).sum((-1, -2))
        value = torch.where(singular, linear - linear.detach(), value)
    return value.to(x.dtype)


def _cofactors(x: Tensor) -> Tensor:
    """The gradient of the determinant without a division: each s of x = u diag(s) v becomes the product of others."""
    u, s, v = torch.linalg.svd(x)
    others = torch.where(torch.eye(s.shape[-1], dtype=torch.bool, device=x.device), 1, s.unsqueeze(-2)).prod(-1)
    signs = (torch.linalg.det(u) * torch.linalg.det(v))[..., None, None]
    cofactors: Tensor = signs * (u * others.unsqueeze(-2)) @ v
    return cofactors
