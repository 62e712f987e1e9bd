"""The command line: every command by its name."""

from __future__ import annotations

import typer

from roomgraph.cli import check, cluster, conform, data, doctor, node, operate, play, talk

app = typer.Typer(
    name="roomgraph",
    help="Conversations in Socket.IO rooms, in step on every device and any node, with a LangGraph agent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(cluster.up_command)
app.command("node")(node.node_command)
app.command("redis")(node.redis_command)
app.command("status")(operate.status_command)
app.command("token")(operate.token_command)
app.command("revoke")(operate.revoke_command)
app.command("vapid")(operate.vapid_command)
app.add_typer(data.user_app, name="user")
app.command("export")(data.export_command)
app.command("doctor")(doctor.doctor_command)
app.command("tour")(play.tour_command)
app.command("check")(check.check_command)
app.command("conform")(conform.conform_command)
app.command("chat")(talk.chat_command)
app.command("echo-bot")(talk.echo_bot_command)
