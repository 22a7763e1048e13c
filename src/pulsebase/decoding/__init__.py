"""Files of strangers are decoded in processes of their own: one that crashes, hangs or fills its memory ends alone."""

from pulsebase.decoding.pool import DecoderLimits, Decoders

__all__ = ["DecoderLimits", "Decoders"]
