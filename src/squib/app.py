"""The composition root: what `squib serve` is made of, and the order in which it starts and stops.

Starting as root: bind, start the launcher (which keeps its privileges), give them up, then open the store and
the event loop. Nothing before the drop reads what a client wrote.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from squib.access.callers import CallerBook
from squib.access.denials import Denials
from squib.access.execution_roles import ExecutionRoles
from squib.access.known import StoredThings
from squib.access.log_rights import RolePermit
from squib.access.permissions import Permissions
from squib.access.resources import ResourceBook
from squib.access.trace_rights import may_trace
from squib.clock import SystemClock, SystemEntropy
from squib.config import Settings
from squib.config.elsewhere import s3_options
from squib.control_plane import registry
from squib.control_plane.cloudwatch import CloudWatchService
from squib.control_plane.iam import IamService
from squib.control_plane.lambda_.service import LambdaOptions, LambdaService
from squib.control_plane.logs.retention import RetentionLoop
from squib.control_plane.logs.service import LogsService
from squib.control_plane.sqs.moves import MoveLoop
from squib.control_plane.sqs.service import SqsService
from squib.control_plane.sts import Issuer, IssuerOptions, Sts, StsService
from squib.control_plane.xray import XRayService
from squib.environment.code_cache import CodeCache
from squib.environment.driver import SandboxDriver
from squib.environment.drivers.plain import PlainDriver, PlainOptions
from squib.environment.drivers.sandbox import SandboxDriverOptions, ZygoteDriver
from squib.environment.isolation import privileges
from squib.environment.pool import Pool
from squib.environment.pool_options import PoolOptions
from squib.environment.tracing.tracer import Tracer
from squib.event_sources.engine import EventSources
from squib.gateway.actions.table import TABLE
from squib.gateway.authorize import Authorizer
from squib.gateway.function_url import FunctionUrls
from squib.gateway.pages import denials as denials_page
from squib.gateway.pages import environments
from squib.gateway.pages import usage as usage_page
from squib.gateway.pages.metrics import MetricsPage
from squib.gateway.server import Gateway, GatewayOptions
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer
from squib.invoke.activation import Activation, ActivationOptions
from squib.invoke.admit import Admission
from squib.invoke.asynchronous import Dispatcher
from squib.invoke.concurrency_watch import ConcurrencyWatch
from squib.invoke.destinations import Destinations
from squib.invoke.provisioned import ProvisionedLoop
from squib.invoke.resolve import Resolver
from squib.invoke.retirement import retire_replaced
from squib.invoke.synchronous import InvokeService
from squib.invoke.telling import Teller
from squib.invoke.tracing import Tracing
from squib.invoke.upstream import Upstream
from squib.model.errors import PlatformError
from squib.model.function_url import FUNCTION_URLS, FunctionUrlAddress
from squib.model.limits import MAX_CREATE_REQUEST_BYTES
from squib.model.user_key import USER_KEYS
from squib.observe import set_up_logging
from squib.preparation import Machine, prepare
from squib.scheduler.concurrency import ConcurrencyLedger
from squib.scheduler.retry import RetryDelays
from squib.store import endpoint
from squib.store.accounts import AccountsLoop
from squib.store.authorization_messages import AuthorizationMessages
from squib.store.credentials import RootCredentials, RootKeys, StoredKey
from squib.store.data_dir import DataDirLock
from squib.store.identities import Identities
from squib.store.key_uses import KeyUses
from squib.store.keyring import KeyRing
from squib.store.sqlite import SqliteStore, StoreOptions, open_store
from squib.store.traces import TraceOptions

log = logging.getLogger("squib.app")

WILDCARDS = ("0.0.0.0", "::")


def run(settings: Settings) -> int:
    """Runs squib until SIGTERM or SIGINT; gives the exit code. Raises SquibError when it can't start."""
    set_up_logging(settings.logging.log_level, settings.logging.log_format)
    data_dir = settings.storage.data_dir
    DataDirLock(data_dir).close()  # a second squib is refused before it changes anything
    account = privileges.account_to_become(settings.isolation.user)
    if os.getuid() == 0 and account is None:
        log.warning("running_as_root: requests are parsed with all privileges; leave --user out instead")
    (data_dir / "code").mkdir(mode=0o755, exist_ok=True)
    privileges.make_own_directory(data_dir / "run")
    if account is not None:
        privileges.check_not_given(settings.runtimes.runtime_dir, data_dir)
        privileges.give_to(account, data_dir)
    privileges.raise_file_limit()
    machine = prepare(settings, account)
    if account is not None:
        source = Path(__file__).parent.parent
        privileges.keep_reachable(
            [data_dir, source, Path(sys.prefix), Path(sys.base_prefix), settings.runtimes.runtime_dir],
            account,
        )
        privileges.drop(account)
        log.info("privileges_dropped account=%s uid=%d", account.name, account.uid)
    import uvloop

    return uvloop.run(_serve(settings, machine))


async def _serve(settings: Settings, machine: Machine) -> int:
    gc.collect()
    gc.disable()  # until memory is settled: what is read from the store at the start stays
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    clock, entropy = SystemClock(), SystemEntropy()
    data_dir = settings.storage.data_dir
    identity = settings.identity
    given = None
    if identity.root_access_key_id is not None and identity.root_secret_access_key is not None:
        given = StoredKey(
            access_key_id=identity.root_access_key_id, secret_access_key=identity.root_secret_access_key
        )
    failures: list[str] = []

    def fail(reason: str) -> None:
        failures.append(reason)
        stopping.set()

    storage = settings.storage
    traces = TraceOptions(kept_days=storage.trace_retention_days, max_bytes=storage.trace_storage << 20)
    async with await open_store(StoreOptions(data_dir=data_dir, traces=traces), clock) as store:
        roots = RootCredentials.load_or_create(data_dir, identity.account_id, given, entropy)
        identities = Identities(store)
        keyring = KeyRing(
            RootKeys(data_dir, roots),
            identities,
            store.collection(USER_KEYS),
            KeyUses(store),
            store.seal,
            clock,
            entropy,
        )
        accounts = AccountsLoop(store, identities, keyring, clock)
        await accounts.declare()
        async with _driver(settings, machine, data_dir, fail) as driver:
            parts = _Parts(settings, machine, store, accounts, identities, keyring, driver, clock, entropy)
            await parts.serve(stopping)
    for reason in failures:
        log.error("stopped_without_launcher reason=%r: start squib again", reason)
    return 1 if failures else 0


def _issuer(settings: Settings, clock: SystemClock) -> Issuer | None:
    identity = settings.identity
    if identity.oidc_issuer is None or identity.oidc_jwks is None:
        return None
    options = IssuerOptions(
        url=identity.oidc_issuer, jwks=identity.oidc_jwks, audience=identity.oidc_audience
    )
    return Issuer(options, clock)


@contextlib.asynccontextmanager
async def _driver(
    settings: Settings, machine: Machine, data_dir: Path, on_lost: Callable[[str], None]
) -> AsyncIterator[SandboxDriver]:
    unavailable = machine.unavailable
    driver: SandboxDriver | None = None
    if machine.launcher is not None:
        zygotes = ZygoteDriver(
            machine.launcher,
            machine.runtimes,
            unavailable,
            SandboxDriverOptions(cpu_quota=settings.isolation.cpu == "quota"),
            on_lost,
        )
        try:
            await zygotes.open()
        except PlatformError as error:
            if machine.is_isolation_wished:
                raise
            log.warning("sandboxes_unavailable reason=%s", error)
        else:
            driver = zygotes
            for warning in zygotes.facts["warnings"]:
                log.warning("isolation_degraded reason=%s", warning)
            if settings.isolation.function_network == "outside" and not zygotes.facts["outside"]:
                await zygotes.close()
                raise PlatformError(
                    "functions can't reach the outside network here (`squib doctor` says why); "
                    "start with --function-network none to do without"
                )
    if driver is None:
        log.warning(
            "functions_not_isolated: they run as this account and can do what it can; see `squib doctor`"
        )
        driver = PlainDriver(
            machine.runtimes,
            unavailable,
            PlainOptions(code_dir=data_dir / "code", work_dir=data_dir / "plain"),
        )
    try:
        yield driver
    finally:
        await driver.close()


def settle_memory() -> None:
    """Takes what lives for ever out of the garbage collector's sight and lets it look less often: requests
    leave no cycles, and each look costs all of them time."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 50)


class _Parts:
    """Everything that runs, wired."""

    def __init__(
        self,
        settings: Settings,
        machine: Machine,
        store: SqliteStore,
        accounts: AccountsLoop,
        identities: Identities,
        keyring: KeyRing,
        driver: SandboxDriver,
        clock: SystemClock,
        entropy: SystemEntropy,
    ) -> None:
        self._settings, self._listener, self._store = settings, machine.listener, store
        self._accounts, self._keyring = accounts, keyring
        self._data_dir = settings.storage.data_dir
        host, port = machine.listener.getsockname()[:2]
        self._url = endpoint.url_of(host, port)
        inside_url = f"http://127.0.0.1:{port}"
        wanted = settings.environments
        self._cache = CodeCache(self._data_dir / "code")
        callers = CallerBook(identities, machine.organization.org_id)
        self._permissions = Permissions(identities, callers, ResourceBook(store), clock, machine.organization)
        tracer = Tracer(store.traces.put, partial(may_trace, self._permissions), clock, entropy)
        self._tracing = Tracing(tracer, entropy)
        self._pool = Pool(
            driver=driver,
            ensure_code=lambda version: self._activation.ensure_code(version),
            logs=store.logs,
            clock=clock,
            entropy=entropy,
            mint=keyring.mint,
            revoke=keyring.revoke,
            endpoint=lambda exchange: self._gateway.on_exchange(exchange, inside_url),
            on_endpoint_too_large=lambda exchange: self._gateway.on_too_large(exchange),
            extensions=self._cache.extensions_of,
            meter=store.usage.meter,
            log_permit=partial(RolePermit, self._permissions, clock),
            tracer=tracer,
            options=PoolOptions(
                max_environments=wanted.max_environments,
                memory_budget_bytes=wanted.memory_budget << 20,
                idle_expiry_s=wanted.idle_expiry_s,
                freeze_after_ms=wanted.freeze_after_ms,
                endpoint_url=inside_url,
            ),
        )
        self._activation = Activation(
            store,
            self._cache,
            driver,
            clock,
            entropy,
            ActivationOptions(),
            in_use=self._pool.in_use,
            take_snapshot=self._pool.templates.take,
        )
        ledger = ConcurrencyLedger()
        self._admission = Admission(ledger, store, clock)
        meter = store.usage.meter
        self._watch = ConcurrencyWatch(ledger.take_peaks, self._pool.take_use, meter, clock)
        resolver = Resolver.of(store, entropy.draw)
        self._asynchronous(machine, store, resolver, clock, entropy)
        self._event_sources = EventSources(
            store=store,
            resolver=resolver,
            judge=self._permissions,
            admission=self._admission,
            pool=self._pool,
            meter=meter,
            may_recur=self._dispatcher.may_recur,
            tracing=self._tracing,
            elsewhere=machine.elsewhere,
            hand_in=self._teller.hand_in,
            clock=clock,
            entropy=entropy,
        )
        self._provisioned = ProvisionedLoop(store, self._pool, self._activation.ensure_code)
        domain = settings.server.function_url_domain
        options = LambdaOptions(s3=s3_options(settings), function_urls=FunctionUrlAddress(domain))
        lambda_service = LambdaService(
            store,
            clock,
            entropy,
            options,
            trusts_lambda=ExecutionRoles(identities).trusts_lambda,
            may=lambda *asked: self._permissions.judge_role(*asked).is_allowed,
            allocation=self._provisioned.allocation,
            event_sources={kind: source.check for kind, source in self._event_sources.kinds.items()},
        )
        denials = Denials()
        services: dict[str, registry.Service] = {
            "lambda": lambda_service,
            "logs": LogsService(store.logs),
            "iam": IamService(store, identities, keyring, entropy),
            "sts": StsService(
                Sts(
                    identities=identities,
                    callers=callers,
                    organization=machine.organization,
                    denials=denials,
                    keyring=keyring,
                    messages=AuthorizationMessages(store.seal),
                    issuer=_issuer(settings, clock),
                )
            ),
            "sqs": SqsService(store, entropy),
            "monitoring": CloudWatchService(store.usage, clock),
            "xray": XRayService(store.traces, clock),
        }
        self._moves = MoveLoop(store, clock, entropy)
        dispatcher = self._dispatcher
        invoke = InvokeService(
            resolver,
            self._pool,
            self._tracing,
            self._admission,
            meter,
            accept=dispatcher.accept,
            may_recur=dispatcher.may_recur,
        )
        handlers = {**registry.table(services), **registry.table({"lambda": invoke})}
        assert handlers.keys() <= TABLE.keys(), "each handler has a row that says what it asks permission for"
        self._gateway = Gateway(
            handlers=handlers,
            credentials=keyring,
            authorizer=Authorizer(self._permissions, StoredThings(store, identities), denials),
            clock=clock,
            entropy=entropy,
            options=GatewayOptions(
                base_url=None if host in WILDCARDS else self._url,
                default_account_id=settings.identity.account_id,
                default_region=settings.identity.region,
                trust_any_credentials=settings.identity.trust_any_credentials,
                metrics_token=settings.server.metrics_token,
            ),
            metrics=MetricsPage(meter, self._pool.snapshot, ledger.held).answer,
            prompt_handlers={("lambda", "Invoke"): invoke.invoke_promptly},
            pages={"/_squib/code/": lambda_service.code_locations.download},
            signed_pages={
                usage_page.PATH: usage_page.UsagePage(store.usage, clock).answer,
                environments.PATH: environments.EnvironmentsPage(self._pool.snapshot).answer,
                denials_page.PREFIX: denials_page.DenialsPage(denials).answer,
            },
            urls=FunctionUrls(
                store.collection(FUNCTION_URLS), self._permissions, invoke.invoke, denials, domain=domain
            ),
        )
        limits = HttpLimits(max_body_bytes=MAX_CREATE_REQUEST_BYTES)
        self._http = HttpServer(self._gateway.on_exchange, limits, on_too_large=self._gateway.on_too_large)

    def _asynchronous(
        self,
        machine: Machine,
        store: SqliteStore,
        resolver: Resolver,
        clock: SystemClock,
        entropy: SystemEntropy,
    ) -> None:
        delays = RetryDelays.of_seconds(self._settings.asynchronous.async_retry_delays)
        self._destinations = Destinations(
            store,
            self._permissions,
            Upstream(machine.elsewhere),
            lambda event, payload: self._dispatcher.accept(event, payload),
            clock,
            entropy,
        )
        self._teller = Teller(
            events=store.async_events,
            destinations=self._destinations,
            meter=store.usage.meter,
            clock=clock,
            entropy=entropy,
            delays=delays,
        )
        self._dispatcher = Dispatcher(
            store=store,
            resolver=resolver,
            pool=self._pool,
            admission=self._admission,
            teller=self._teller,
            tracing=self._tracing,
            meter=store.usage.meter,
            clock=clock,
            entropy=entropy,
            delays=delays,
            unawaited=lambda: self._event_sources.begun_count,
        )

    async def serve(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set; then drains."""
        if self._settings.identity.trust_any_credentials:
            log.warning("signatures_not_verified: whoever reaches this port is root of every account")
        async with asyncio.TaskGroup() as tasks:
            loops = [
                tasks.create_task(work)
                for work in (
                    self._activation.run(),
                    self._admission.follow(),
                    self._watch.run(),
                    self._provisioned.run(),
                    retire_replaced(self._store, self._pool),
                    RetentionLoop(self._store.logs.expire).run(),
                    self._keyring.uses.run(),
                    self._store.queues.run(),
                    self._moves.run(),
                    self._accounts.run(),
                    self._teller.run(),
                    self._dispatcher.run(),
                )
            ]
            tasks.create_task(self._pool.run())
            tasks.create_task(self._gateway.run())
            polling = tasks.create_task(self._event_sources.run())
            await self._http.listen_on(self._listener)
            region = self._settings.identity.region
            endpoint.write(self._data_dir, endpoint.Endpoint(url=self._url, pid=os.getpid(), region=region))
            settle_memory()
            print(f"squib ready on {self._url}", flush=True)
            await stopping.wait()
            log.info("draining")
            self._gateway.leave()
            endpoint.remove(self._data_dir)
            self._store.queues.end_waits()
            timeout_s = self._settings.server.drain_timeout_s
            self._event_sources.stop()
            draining = tasks.create_task(self._dispatcher.drain(timeout_s))
            await self._http.drain(timeout_s)
            await asyncio.wait([polling], timeout=timeout_s)
            polling.cancel()
            await self._gateway.drain(1)
            await draining
            await self._pool.close(1)
            for task in loops:
                task.cancel()
        await self._cache.close()
        log.info("stopped")
