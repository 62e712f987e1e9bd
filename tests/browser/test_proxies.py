"""The configurations of docs/proxies.md, run by the programs that they are for, with clients on the other side."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from sio_clients import ChatClient, guest_token
from sio_server.gateway.api.event_stream import BEAT, BEAT_S
from sio_server.local.cluster import LocalCluster
from tests.browser.pages import look, say, until
from tests.conftest import ClusterFactory, free_ports
from tests.faults.networks import cut_off
from tests.faults.nodes import metrics
from tests.integration.test_client_wheel import TALK
from tests.waiting import poll

pytestmark = pytest.mark.faults

DOCUMENT = (Path(__file__).parents[2] / "docs" / "proxies.md").read_text(encoding="utf-8")
ADDRESSES = ("10.0.0.11:9000", "10.0.0.12:9000", "10.0.0.13:9000")
IDLE_S = 10  # the shortest time-out that the document allows


@dataclass(frozen=True)
class Shown:
    """A configuration of the document: of which program, under which title."""

    program: str
    title: str
    text: str

    @property
    def base_path(self) -> str:
        """The nodes' setting."""
        return "/chat" if "BASE_PATH=/chat" in self.title else ""

    @property
    def path(self) -> str:
        """Where clients find the nodes."""
        return "/chat" if self.base_path or "removed" in self.title else ""

    @property
    def nodes(self) -> int:
        return len({address for address in ADDRESSES if address in self.text})


SHOWN = [
    Shown(program, title, text)
    for program, title, text in re.findall(
        r"^```(nginx|haproxy|caddy)\n# (.+?)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL
    )
]


def make_certificate(folder: Path) -> None:
    """An authority, `ca.crt`, and a certificate of it for localhost: crt, key, and both in pem."""
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    sign = (
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt -extfile names"
    )
    subprocess.run(["openssl", *sign.split()], cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "server.crt").read_text() + (folder / "server.key").read_text())


def adapted(shown: Shown, folder: Path, port: int, nodes: list[int]) -> str:
    """The configuration with the addresses, the port and the certificate of a test."""
    text = shown.text
    for address, node in zip(ADDRESSES, nodes, strict=False):
        text = text.replace(address, f"127.0.0.1:{node}")
    for kind in ("crt", "key", "pem"):
        text = text.replace(f"/etc/ssl/chat.example.com.{kind}", str(folder / f"server.{kind}"))
    if shown.program == "nginx":
        own = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi"))
        own += "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("uwsgi", "scgi"))
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("http {", f"http {{ access_log off; {own}", 1)
        return re.sub(r"proxy_read_timeout \d+s", f"proxy_read_timeout {IDLE_S}s", text)
    if shown.program == "haproxy":
        text = re.sub(r"timeout (client|server|tunnel) \d+s", rf"timeout \1 {IDLE_S}s", text)
        text = text.replace("maxconn 20000", "maxconn 200")  # for which it needs fewer open files
        return text.replace("bind :443", f"bind 127.0.0.1:{port}")
    text = re.sub(r"^(chat|www)\.example\.com \{", f"https://localhost:{port} {{", text, flags=re.MULTILINE)
    options = ("admin off", "auto_https disable_redirects", "skip_install_trust", "grace_period 1s")
    return "".join(["{\n", *(f"\t{option}\n" for option in options), "}\n", text])


def command_of(program: str, file: Path) -> list[str]:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install {program}")
    log, pid = file.with_suffix(".log"), file.with_suffix(".pid")
    return {
        "nginx": [found, "-p", str(file.parent), "-e", str(log), "-c", str(file), "-g", f"daemon off; pid {pid};"],
        "haproxy": [found, "-db", "-f", str(file)],
        "caddy": [found, "run", "--adapter", "caddyfile", "--config", str(file)],
    }[program]


@asynccontextmanager
async def proxy_of(shown: Shown, cluster: LocalCluster, folder: Path) -> AsyncIterator[str]:
    """The program with this configuration before the cluster's nodes; gives the address for clients."""
    port = free_ports(1)
    file = folder / f"{shown.program}.conf"
    file.write_text(adapted(shown, folder, port, cluster.ports))
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command_of(shown.program, file), env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=errors
        )
    url = f"https://localhost:{port}{shown.path}"
    trusted = ssl.create_default_context(cafile=folder / "ca.crt")

    async def is_ready() -> bool:
        if process.returncode is not None:
            pytest.fail(f"{shown.program} has ended: {(folder / 'stderr').read_text()[-2000:]}")
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{url}/ready", ssl=trusted) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    try:
        await poll(is_ready, f"{shown.program} with {shown.title}", 15)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def talk(url: str, folder: Path) -> str:
    """What the agent answers to a program with the SDK, which trusts the authority of the certificate."""
    environment = {**os.environ, "SSL_CERT_FILE": str(folder / "ca.crt")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TALK,
        url,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, problem.decode()
    return said.decode()


async def see_the_page(url: str, browser: Browser, cluster: LocalCluster) -> None:
    """A page in Chromium sends and receives, stays connected while nothing is said, and survives its node."""
    _, token = await guest_token(cluster.urls[0], "Ann")
    context = await browser.new_context(locale="en-GB", ignore_https_errors=True)
    page = await context.new_page()
    websockets: list[object] = []
    page.on("websocket", lambda socket: websockets.append(socket))
    # Without its slash a path leads to the page as well.
    await page.goto(f"{url}?token={token}" if url.endswith("/chat") else f"{url}/?token={token}")
    spoken = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
    assert spoken == "h2", "browsers speak HTTP/2 with the proxy"
    await until(page, "state.link === 'online'")
    await page.keyboard.press("Alt+n")
    await until(page, "state.open?.loaded")
    await say(page, "book a room for a workshop")
    await expect(page.get_by_text("When do you need it?").first).to_be_visible(timeout=20_000)
    if len(cluster.ports) > 1:
        opened = len(websockets)
        await asyncio.sleep(IDLE_S + 2)  # the promise is about this time
        assert await look(page, "state.link") == "online"
        assert len(websockets) == opened, "no time-out has ended the websocket of a page that says nothing"
        port = int(await look(page, "state.node"))
        await cluster.signal_node(port, signal.SIGKILL)
        await until(page, f"state.link === 'online' && state.node !== '{port}'")
        await say(page, "tomorrow at 10")
        await until(page, "state.open.entries.filter((e) => e.type === 'answer').length >= 2")
    await context.close()


def test_the_document_shows_every_program_with_and_without_a_path() -> None:
    assert sorted((shown.program, shown.path) for shown in SHOWN) == [
        ("caddy", ""),
        ("caddy", "/chat"),
        ("haproxy", ""),
        ("haproxy", "/chat"),
        ("nginx", ""),
        ("nginx", "/chat"),
        ("nginx", "/chat"),
    ]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
@pytest.mark.parametrize("shown", SHOWN, ids=[shown.title for shown in SHOWN])
async def test_clients_send_and_receive_through_the_configuration(
    shown: Shown, start_cluster: ClusterFactory, browser: Browser, tmp_path: Path
) -> None:
    command_of(shown.program, tmp_path)  # or skip before anything is begun
    make_certificate(tmp_path)
    cluster = await start_cluster(
        shown.nodes, ALLOWED_ORIGINS="", NODE_URLS="", TRUSTED_PROXIES="1", BASE_PATH=shown.base_path
    )
    async with proxy_of(shown, cluster, tmp_path) as url:
        assert "When do you need it?" in await talk(url, tmp_path)
        await see_the_page(url, browser, cluster)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
async def test_a_node_that_is_cut_off_gets_no_client_by_nginx_and_sends_a_page_and_the_sdk_on(
    start_cluster: ClusterFactory, browser: Browser, tmp_path: Path
) -> None:
    shown = next(one for one in SHOWN if one.program == "nginx" and not one.path)
    command_of(shown.program, tmp_path)
    make_certificate(tmp_path)
    cluster = await start_cluster(shown.nodes, proxied=True, TRUSTED_PROXIES="1")
    first, second, last = cluster.ports
    _, token = await guest_token(cluster.urls[0], "Ann")

    async def until_cut_off(port: int) -> None:
        async def is_cut_off() -> bool:
            return (await metrics(port))["roomgraph_cut_off"] == 1

        await poll(is_cut_off, f"node {port} notices that it is cut off", 30)

    async with proxy_of(shown, cluster, tmp_path) as url, aiohttp.ClientSession() as http:
        page = await browser.new_page()
        await page.goto(f"{cluster.urls[0]}/?token={token}")
        await until(page, f"state.link === 'online' && state.node === '{first}'")
        cut_off(cluster, 1, "both")
        await until_cut_off(second)
        opening = "/socket.io/?EIO=4&transport=websocket"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(cluster.urls[1] + opening)
        assert refused.value.status == 503
        # They stay open: the node that is cut off has the fewest connections all the time.
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        for number in range(12):
            websocket = await http.ws_connect(url + opening, ssl=trusted)
            assert (await websocket.receive_str()).startswith("0{")
            await websocket.send_str(f'40{{"token":"{token}"}}')
            assert (await websocket.receive_str()).startswith("40{"), number

        async with ChatClient(cluster.urls[1:], token) as client:
            assert client.node == str(last)
        # The page's own node is lost as well. The next one that it knows takes nobody.
        cut_off(cluster, 0, "both")
        await until(page, f"state.link === 'online' && state.node === '{last}'", 30)
        await page.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
@pytest.mark.parametrize("program", ["nginx", "haproxy", "caddy"])
async def test_a_stream_of_events_passes_a_proxy_at_once_and_outlasts_its_time_outs(
    program: str, start_cluster: ClusterFactory, tmp_path: Path
) -> None:
    shown = next(one for one in SHOWN if one.program == program and not one.path)
    command_of(shown.program, tmp_path)
    make_certificate(tmp_path)
    key = "a-service-key-that-only-this-test-uses"
    cluster = await start_cluster(
        shown.nodes, TRUSTED_PROXIES="1", SERVICE_KEYS=f"shop:{key}", ALLOWED_HOSTS="localhost"
    )
    async with proxy_of(shown, cluster, tmp_path) as url:
        secure = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(tmp_path / "ca.crt")))
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=headers, connector=secure) as http:
            async with http.post(f"{url}/api/v1/conversations", json={"agent": "off"}) as answer:
                where = f"{url}/api/v1/conversations/{(await answer.json())['conversation_id']}"
            async with http.get(f"{where}/events", timeout=aiohttp.ClientTimeout(total=None)) as stream:
                for text in ("at once", "after a silence"):
                    async with http.post(f"{where}/messages", json={"text": text}) as answer:
                        assert answer.status == 201
                    silent = 0
                    async with asyncio.timeout(60):
                        async for line in stream.content:
                            if text.encode() in line:
                                break
                    # Longer than the proxy lets anything be silent: the node speaks in between.
                    async with asyncio.timeout(60):
                        while text == "at once" and silent * BEAT_S < 1.5 * IDLE_S:
                            silent += (await stream.content.readline()) == BEAT[:-1]
