"""The worker process: checks the settings, and runs a worker."""

from conferral.processes.common import configure_log, require_free_port
from conferral.redis_access import make_redis_client
from conferral.runtime import lifecycle
from conferral.runtime.settings import ServiceSettings, load
from conferral.telephony.directory.model import DirectoryFile
from conferral.worker.process import Worker


def run_worker(host: str, port: int | None) -> int:
    """Run a worker; return the exit code, or raise SettingsError."""
    settings = load(ServiceSettings)
    directory = DirectoryFile(settings)
    if port is not None:
        require_free_port(host, port)
    configure_log(settings, "worker")
    make_redis_client(settings.redis_url)  # an invalid URL is a settings error
    return lifecycle.run(
        lambda stop: Worker(settings, directory=directory).run(stop, port, host), on_hangup=directory.reload
    )
