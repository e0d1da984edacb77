"""Speech that Whisper hears: the sentences of one recording."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import wave
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from scripts.real_weights import SPEECH
from tests.real_weights import fetched

RATE = 16_000

SENTENCES_S = ((21.90, 24.05), (12.54, 14.30), (14.40, 17.80), (20.17, 21.60))
"""Where sentences begin and end in the recording, in seconds."""


def sentences() -> Sequence[torch.Tensor]:
    """The spectrogram of each sentence, as Whisper takes it: [1, 80, hundredths of a second]."""
    with wave.open(str(fetched(SPEECH))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        heard = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    extract = cast("Any", WhisperFeatureExtractor())
    return [
        torch.from_numpy(extract(part, sampling_rate=RATE, padding="longest").input_features)
        for begin, end in SENTENCES_S
        for part in [_whole_frames(heard[int(begin * RATE) : int(end * RATE)])]
    ]


def _whole_frames(heard: Any) -> Any:
    """Sound cut to an even number of hundredths: Whisper makes one frame of two."""
    return heard[: len(heard) // 320 * 320]
