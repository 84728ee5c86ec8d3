"""docs/settings.md, made from the table of options."""

from squib.config.options import CONFIG_VARIABLE, OPTIONS


def settings_page() -> str:
    """`docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Made from the table in `src/squib/config/options.py`: `python -m squib.config > docs/settings.md`.",
        "",
        "A setting comes from its default, the settings file, its environment variable or its flag; the",
        "later one wins.",
        f"The settings file is TOML: `--config FILE` or `{CONFIG_VARIABLE}` names it, otherwise",
        "`/etc/squib/squib.toml` (as root) or `~/.config/squib/squib.toml` is read if it exists.",
        "Unknown keys, unknown `SQUIB_*` variables and bad values stop the start; an empty variable counts",
        "as not set.",
        "Keep a file that holds a secret readable by you alone (`chmod 600`).",
        "",
        "| TOML key | variable | flag | value | default |",
        "|---|---|---|---|---|",
    ]
    for option in OPTIONS:
        flag = f"`{option.flag}`" if option.has_flag else "none (secret)"
        row = (f"`{option.name}`", f"`{option.variable}`", flag, option.kind.words, option.default_text)
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "## What they do", ""]
    lines += [f"- `{option.name}`: {option.help}" for option in OPTIONS]
    lines += [
        "",
        "## Example",
        "",
        "```toml",
        "# /etc/squib/squib.toml",
        "port = 4566",
        'data_dir = "/srv/squib"',
        'isolation = "sandbox"',
        'function_network = "none"',
        'runtime_path = ["/opt/python/3.13/bin"]',
        "```",
    ]
    return "\n".join(lines) + "\n"
