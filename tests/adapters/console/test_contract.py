"""The console keeps the adapter contract on each of its displays."""

from collections.abc import AsyncGenerator
from io import StringIO

import pytest

from adapters.console.display import PlainDisplay
from adapters.console.drawing import TerminalDisplay
from tests.adapters.console.doubles import ConsoleDouble, VirtualTerminal, console_on, running
from tests.contract.adapter_contract import AdapterContract


class TestPipedConsole(AdapterContract):
    @pytest.fixture
    async def platform(self) -> AsyncGenerator[ConsoleDouble, None]:
        output = StringIO()
        double = ConsoleDouble(PlainDisplay(output, StringIO()), output.getvalue)
        async with running(double):
            yield double


class TestStreamingConsole(AdapterContract):
    @pytest.fixture
    async def platform(self) -> AsyncGenerator[ConsoleDouble, None]:
        output = StringIO()
        double = ConsoleDouble(PlainDisplay(output, StringIO(), streams=True), output.getvalue)
        async with running(double):
            yield double


class TestDrawnConsole(AdapterContract):
    @pytest.fixture
    async def platform(self) -> AsyncGenerator[ConsoleDouble, None]:
        terminal = VirtualTerminal()
        double = ConsoleDouble(TerminalDisplay(console_on(terminal)), terminal.text)
        async with running(double):
            yield double
