"""A server on this machine that speaks S3: moto, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.conftest import free_ports
from tests.waiting import poll

# Of a policy.
ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


class S3:
    """Its address, and what an administrator of it does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def environment(self, key: str = "a", secret: str = "b") -> dict[str, str]:
        """What a process needs to use it, with these credentials."""
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    async def make_bucket(self, name: str) -> None:
        async with aiohttp.ClientSession() as http, http.put(f"{self.url}/{name}") as made:
            assert made.status == 200

    async def names(self, bucket: str) -> list[str]:
        """The names of all objects."""
        return await asyncio.to_thread(self._names, bucket)

    async def check_credentials(self) -> tuple[str, str]:
        """From now on refuse all but those that this returns."""
        made = await asyncio.to_thread(self._check_credentials)
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{self.url}/moto-api/reset-auth", data="0") as response:
                assert response.status == 200
        return made

    def _client(self, service: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )

    def _names(self, bucket: str) -> list[str]:
        found = self._client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        return [str(one["Key"]) for one in found]

    def _check_credentials(self) -> tuple[str, str]:
        iam = self._client("iam")
        iam.create_user(UserName="roomgraph")
        iam.put_user_policy(UserName="roomgraph", PolicyName="all", PolicyDocument=ALL)
        key = iam.create_access_key(UserName="roomgraph")["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]


@asynccontextmanager
async def s3_server() -> AsyncIterator[S3]:
    """Start it, without buckets."""
    url = f"http://127.0.0.1:{free_ports(1)}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moto.server", "-p", url.rpartition(":")[2], stderr=asyncio.subprocess.DEVNULL
    )

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{url}/moto-api/data.json") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await poll(answers, f"S3 at {url}", 60, every=0.1)
        yield S3(url)
    finally:
        process.kill()
        await process.wait()
