"""What the coordinator stores about an owner."""


def owned_by(name: str, renewed_at_ms: int, epoch: int = 1) -> str:
    return f'{{"holder":"{name}","epoch":{epoch},"renewed_at":{renewed_at_ms}}}'
