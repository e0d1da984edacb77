"""The trained weights written as any model of the catalogue: bf16 safetensors and tokenizer."""
# pyright: reportUnknownMemberType=false
# The stubs of torch and transformers are partial.

import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaForCausalLM

from bot.engine.base import SamplingParameters
from training.decoding import DEFAULTS
from training.tokenizer import BEGIN, END, PAD, special_id


def export(model: LlamaForCausalLM, tokenizer_folder: Path, folder: Path) -> None:
    """Write weights, configuration, decoding defaults, tokenizer and chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = _generation_config(DEFAULTS)
    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(folder)
    for path in tokenizer_folder.iterdir():
        shutil.copy(path, folder / path.name)


def _generation_config(sampling: SamplingParameters) -> GenerationConfig:
    return GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        no_repeat_ngram_size=sampling.no_repeat_ngram_size,
        max_new_tokens=sampling.max_tokens,
        bos_token_id=special_id(BEGIN),
        eos_token_id=special_id(END),
        pad_token_id=special_id(PAD),
    )
