"""What initialization leaves open: kept, made anew in each clone, or a reason to take no snapshot."""

import pytest

from harness.clones import ask, run_story
from harness.drivers import Bench

pytestmark = [pytest.mark.slow, pytest.mark.root]

OBSTACLES = {
    "a thread running": (
        "import threading; threading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
    ),
    "a child process": "child = subprocess.Popen(['sleep', '999'])",
    "a UNIX socket": "pair = socket.socketpair()",
    "epoll": "import select; poll = select.epoll()",
    "a pipe": "ends = os.pipe()",
    "a listening socket": "s = socket.socket(); s.bind(('127.0.0.1', 5000)); s.listen()",
    "a file that has been deleted": "import tempfile; f = tempfile.TemporaryFile()",
    "shared memory": "import mmap; m = mmap.mmap(-1, 4096)",
}


@pytest.mark.parametrize("reason", OBSTACLES)
def test_snapshot_is_refused_for_a_reason_that_its_owner_is_told(reason: str) -> None:
    async def story(bench: Bench) -> None:
        template = await bench.start(handler="obstacle.handler", is_template=True)
        assert reason in (await template.snapshots.get() or "")
        await template.sandbox.destroy()

    run_story(story, {"obstacle": OBSTACLES[reason]})


def test_program_of_its_own_is_refused_at_once() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.start(handler="app.handler", is_template=True, wrapper="/opt/none")
        assert "AWS_LAMBDA_EXEC_WRAPPER" in (await template.snapshots.get() or "")
        await template.sandbox.destroy()

    run_story(story, {})


KEPT = """
log = open("/tmp/log", "w+"); log.write("0123456789"); log.flush(); log.seek(4)
null, noise = open(os.devnull), open("/dev/urandom", "rb", 0)
folder = os.open("/tmp", os.O_RDONLY)
me = open("/proc/self/stat")
os.chdir("/tmp")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(("127.0.0.1", 6000)); udp.settimeout(2)
plain = socket.socket(); plain.settimeout(5)
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
joined = socket.create_connection(server.getsockname()); far, _ = server.accept(); server.close()
saved = os.dup(1)
"""


def test_files_and_sockets_are_each_clones_own() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.template(handler="kept.handler")
        one, other = await bench.clone(template), await bench.clone(template)
        assert await ask(one, "result = log.read(3)") == "456"
        assert await ask(other, "result = log.read(3)") == "456"  # positions are not shared
        await ask(one, "log.seek(0); log.write('changed'); log.flush()")
        assert await ask(other, "log.seek(0); result = log.read()") == "0123456789"
        await ask(one, "os.close(os.open('here', os.O_CREAT | os.O_WRONLY))")
        assert "here" in await ask(one, "result = os.listdir(folder)")
        assert "here" not in await ask(other, "result = os.listdir(folder) + os.listdir('.')")
        assert int(await ask(one, "result = me.read().split()[0]")) < 100
        assert len(await ask(one, "result = noise.read(4).hex() + null.read()")) == 8
        listen = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 6000));"
        heard = f"{listen} s.settimeout(2); udp.send(b'hello'); result = s.recv(9).decode()"
        assert await ask(one, heard) == "hello"  # in its own network
        assert await ask(one, "udp.send(b'nobody'); plain.connect(('127.0.0.1', 6001))") == "ECONNREFUSED"
        assert await ask(one, "result = len(joined.recv(9))") == 0
        await ask(one, "os.write(saved, b'to a duplicate')")
        one.sandbox.drain_logs()
        assert "to a duplicate" in one.output()

    run_story(story, {"kept": KEPT})


def test_much_in_tmp_is_refused_and_no_clone_shares_it() -> None:
    async def story(bench: Bench) -> None:
        template = await bench.start(handler="big.handler", is_template=True)
        assert "128 MiB" in (await template.snapshots.get() or "")
        await template.sandbox.destroy()

    write = "with open('/tmp/big', 'wb') as f:\n    for _ in range(150): f.write(os.urandom(1 << 20))"
    run_story(story, {"big": write})


def test_without_loop_devices_clones_have_a_tmp_in_memory_and_none_is_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no mkfs.ext4

    async def story(bench: Bench) -> None:
        template = await bench.template()
        one, other = await bench.clone(template), await bench.clone(template)
        await ask(one, "open('/tmp/mine', 'w').write('x')")
        assert await ask(other, "result = os.listdir('/tmp')") == []
        assert await ask(one, "result = os.statvfs('/tmp').f_blocks * 4096 >> 20") == 512
        writing = await bench.start(handler="writing.handler", is_template=True)
        assert "/tmp/made" in (await writing.snapshots.get() or "")
        await writing.sandbox.destroy()

    run_story(story, {"writing": "open('/tmp/made', 'w')"})
