"""Whether a platform is connected; what is to be written waits here until it is."""

import asyncio

from bot.errors import PlatformUnavailable

TIMEOUT_S = 30.0


class OnlineGate(asyncio.Event):
    """Set while the platform of this name is connected."""

    def __init__(self, platform: str) -> None:
        super().__init__()
        self._platform = platform

    async def passed(self) -> None:
        """Wait until it is connected. Raises `PlatformUnavailable` where that takes too long."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self.wait()
        except TimeoutError as error:
            raise PlatformUnavailable(f"not yet connected to {self._platform}") from error
