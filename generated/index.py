INDEX: dict[str, str] = {}
