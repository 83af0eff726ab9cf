"""A hub on loopback: what the client asks for to make, fill, list and read a repository."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
TOKEN = "hf_writes"


class StandIn(ThreadingHTTPServer):
    """Repositories in memory; only the token writes, and nobody writes to those of "others"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.branches: dict[str, dict[str, str]] = {}
        self.commits: dict[str, Files] = {}
        self.messages: list[str] = []
        self.private: set[str] = set()
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, repo: str, branch: str, files: Files) -> str:
        """A commit of a branch that holds these files and no others."""
        text = json.dumps([repo, {name: hashlib.sha1(d).hexdigest() for name, d in files.items()}])
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches.setdefault(repo, {})[branch] = commit
        return commit

    def files(self, repo: str, revision: str = "main") -> Files:
        return self.commits[self.branches[repo].get(revision, revision)]


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/").split("/")
        if self._refused(path):
            return
        if path == ["api", "repos", "create"]:
            self._create(json.loads(body))
        elif path == ["api", "validate-yaml"]:
            self._json({})
        elif path[4] == "branch":
            repo = "/".join(path[2:4])
            self.server.put(repo, path[5], self.server.files(repo))
            self._json({})
        elif path[4] == "preupload":
            names = [each["path"] for each in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self._json({"files": modes})
        elif path[4] == "commit":
            self._commit("/".join(path[2:4]), path[5], body)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/").split("/")
        if self._refused(path):
            return
        if path[0] != "api":  # OWNER/NAME/resolve/REVISION/FILE
            self._resolve("/".join(path[:2]), path[3], "/".join(path[4:]))
            return
        repo, revision = "/".join(path[2:4]), path[5] if len(path) > 5 else "main"
        branches = self.server.branches.get(repo)
        if branches is None:
            self._refuse(404, "RepoNotFound")
        elif revision not in branches and revision not in self.server.commits:
            self._refuse(404, "RevisionNotFound")
        else:
            commit = branches.get(revision, revision)
            files = self.server.commits[commit]
            entries = [
                {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                for n, d in files.items()
            ]
            siblings = [{"rfilename": name} for name in files]
            tree = len(path) > 4 and path[4] == "tree"
            self._json(entries if tree else {"id": repo, "sha": commit, "siblings": siblings})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.server.branches:
            self._json({"url": f"{self.server.url}/{repo}"}, 409)
            return
        if asked.get("private") or asked.get("visibility") == "private":
            self.server.private.add(repo)
        self.server.put(repo, "main", {".gitattributes": b""})
        self._json({"url": f"{self.server.url}/{repo}"})

    def _commit(self, repo: str, branch: str, body: bytes) -> None:
        files = dict(self.server.files(repo, branch))
        for each in map(json.loads, body.splitlines()):
            value = each["value"]
            if each["key"] == "header":
                self.server.messages.append(value["summary"])
            elif each["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.server.put(repo, branch, files)
        url = f"{self.server.url}/{repo}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        data = self.server.files(repo, revision)[name]
        commit = self.server.branches[repo].get(revision, revision)
        self._send(200, data, {"X-Repo-Commit": commit, "ETag": hashlib.sha1(data).hexdigest()})

    def _refused(self, path: list[str]) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.broken:
            self._refuse(500, "")
        elif self.command == "POST" and token != TOKEN:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif self.command == "POST" and path[2:3] == ["others"]:
            self._refuse(403, "")
        else:
            return False
        return True

    def _refuse(self, status: int, code: str, message: str = "no") -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message})

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """A hub that runs inside."""
    with StandIn() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
