"""The system's Chromium: where it is, and how it is started without asking anybody anything."""

from __future__ import annotations

import shutil

#: What a window would load for itself beside each page that is opened: the lists below its field for addresses cost as
#: much as the page. Playwright's own choice is repeated, since the last such flag counts alone.
_FEATURES_OFF = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
    *("AimEnabled", "LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints"),
    *("PreconnectToSearch", "HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "PaintHolding"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "ThirdPartyStoragePartitioning"),
    "AvoidCorsURLLoaderRestartOnRedirect",
)

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Root may start it, and it talks to nobody but the page's server.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join(_FEATURES_OFF)}",
)
ABSENT = "Chromium is needed here: apt install chromium, or your system's package of it."


def browser_path() -> str | None:
    """The program, if it is there."""
    return next(filter(None, map(shutil.which, _NAMES)), None)
