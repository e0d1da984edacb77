"""CTranslate2 in int8, in an environment of its own (`make bench-peers`): T5 alone.

The option is how it uses the cores: `streams` answers two questions at once with a thread each,
`threads` one with two.
"""

import json
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.prompts import prompt_ids
from bench.ways.arguments import Arguments, run
from bench.workload import ANSWER_TOKENS, STAGGER_S, Answered, Measured, measured


def _measure(given: Arguments) -> Measured:
    # By name: only its own environment has it.
    ctranslate2: Any = import_module("ctranslate2")
    transformers: Any = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(given.folder)
    with tempfile.TemporaryDirectory() as scratch:
        converted = Path(scratch) / "model"
        converter = ctranslate2.converters.TransformersConverter(str(given.folder))
        converter.convert(str(converted), quantization="int8")
        _name_missing_tokens(converted / "config.json", tokenizer.eos_token)
        began_s = time.perf_counter()
        streams, threads = (2, 1) if given.option == "streams" else (1, 2)
        translator = ctranslate2.Translator(
            str(converted), inter_threads=streams, intra_threads=threads
        )
        load_s = time.perf_counter() - began_s
        ids = prompt_ids(given.folder)
        prompts: list[list[str]] = [
            tokenizer.convert_ids_to_tokens(ids(number)) for number in range(given.count)
        ]

        def answer(number: int) -> Answered:
            time.sleep(number * STAGGER_S)
            times_s = [time.perf_counter()]
            for _step in translator.generate_tokens(
                prompts[number], max_decoding_length=ANSWER_TOKENS
            ):
                times_s.append(time.perf_counter())  # noqa: PERF401 - when each came
            return Answered(times_s[0], times_s[1], times_s[-1], len(times_s) - 1)

        with ThreadPoolExecutor(given.count) as pool:
            futures: list[Future[Answered]] = [
                pool.submit(answer, number) for number in range(given.count)
            ]
            answers = [future.result() for future in futures]
        return measured(answers, load_s)


def _name_missing_tokens(file: Path, token: str) -> None:
    """Random checkpoints have another tokenizer than T5's, and CTranslate2 wants all its names."""
    config = json.loads(file.read_text())
    config |= {
        f"{name}_token": config.get(f"{name}_token") or token for name in ("bos", "eos", "unk")
    }
    file.write_text(json.dumps(config))


if __name__ == "__main__":
    run(_measure)
