"""The command line of training: `prepare`, `train`, `report`, `chat`.

    python -m training prepare                  read, filter and split the data; the tokenizer
    python -m training train                    both phases, resumed where they stopped
    python -m training report                   every figure of the model card
    python -m training chat                     talk to the model that was trained

Setting MALLOC_MMAP_THRESHOLD_=8589934592 and MALLOC_TRIM_THRESHOLD_=17179869184 keeps glibc
from returning memory after every step, which made training a fifth faster on a CPU.
"""

import argparse
from pathlib import Path

import torch

from training.answers import Speaker
from training.card_figures import report
from training.decoding import DEFAULTS
from training.fewer_bits import fewer_bits
from training.loss_curve import draw_loss_curve
from training.model import load_model
from training.phases import steps_for, train
from training.prepared import prepare
from training.tokenizer import load_tokenizer

BUILTIN = Path(__file__).parent.parent / "bot" / "builtin"
WORK = Path(__file__).parent / "work"


def main() -> None:
    """Parse the command line and run one sub-command."""
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    match arguments.command:
        case "prepare":
            prepare(arguments.work)
        case "train":
            _train(arguments)
        case "report":
            report(arguments.work, arguments.builtin)
            draw_loss_curve(arguments.builtin)
        case "bits":
            for name, bits in fewer_bits(arguments.work, arguments.builtin).items():
                print(f"{name}: {bits:.4f} bits per character")
        case _:
            _chat(arguments.builtin)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("command", choices=("prepare", "train", "report", "bits", "chat"))
    parser.add_argument("--work", type=Path, default=WORK, help="checkpoints and prepared data")
    parser.add_argument("--builtin", type=Path, default=BUILTIN, help="where the model is written")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--minutes", type=float, help="plan the steps to fit this time")
    parser.add_argument("--talk-steps", type=int, default=3000)
    parser.add_argument("--answer-steps", type=int, default=1800)
    return parser


def _train(arguments: argparse.Namespace) -> None:
    steps = (arguments.talk_steps, arguments.answer_steps)
    if arguments.minutes is not None:
        steps = steps_for(arguments.minutes, arguments.work)
    train(arguments.work, arguments.builtin, *steps)


def _chat(builtin: Path) -> None:
    folder = builtin / "model"
    speaker = Speaker(load_model(folder), load_tokenizer(folder), DEFAULTS)
    turns: list[str] = []
    while question := input("> ").strip():
        turns.append(question)
        turns.append(speaker.reply(turns).text)
        print(turns[-1])


if __name__ == "__main__":
    main()
