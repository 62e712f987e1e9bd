"""What the spare scenes say, in English and Chinese."""

SPARE_TEXTS = {
    "seconds": {"en": "{value} s", "zh": "{value} 秒"},
    "after": {"en": "after {value} s", "zh": "{value} 秒后"},
    "never": {"en": "never", "zh": "始终没有"},
    "not_level": {
        "en": "[red]Not everything has come, up to seq {head}, to: {names}.[/]",
        "zh": "[red]以下设备没有收齐到序号 {head}：{names}。[/]",
    },
    "unended": {
        "en": "[red]In {count} conversations something that was asked has no answer.[/]",
        "zh": "[red]{count} 个会话中有提问没有得到回答。[/]",
    },
    "behind": {"en": "behind for", "zh": "落后时间"},
    # node-failure
    "node-failure": {"en": "A node dies under load", "zh": "节点在负载下崩溃"},
    "node-failure.plan": {
        "en": "{clients} people on {nodes} nodes write all the time, and {runs} answers are being given.",
        "zh": "{nodes} 个节点上的 {clients} 个人不停地写，同时有 {runs} 个回答正在进行。",
    },
    "node-failure.killed": {
        "en": "[red]Node {node}, with {devices} of them and {runs} of the answers, is killed (SIGKILL).[/]",
        "zh": "[red]节点 {node} 被强制终止（SIGKILL）：上面有其中 {devices} 人和 {runs} 个回答。[/]",
    },
    "node-failure.waiting": {
        "en": "The others take over, and the node is started again …",
        "zh": "其他节点接手，该节点重新启动…",
    },
    "node-failure.runs": {
        "en": "Its answers were taken over by {by} within {seconds} s; each of the {runs} answers ended once.",
        "zh": "它的回答在 {seconds} 秒内由 {by} 接手；{runs} 个回答各自只结束一次。",
    },
    "node-failure.runs_broken": {
        "en": "[red]{over} of its {taken} answers were taken over, {ended} of all {runs} have ended once.[/]",
        "zh": "[red]它的 {taken} 个回答中有 {over} 个被接手，{runs} 个回答中有 {ended} 个只结束一次。[/]",
    },
    "node-failure.others": {
        "en": "Between the others meanwhile: half within {p50} ms, 99 of 100 within {p99} ms.",
        "zh": "其间其他人之间：一半在 {p50} 毫秒内，百分之九十九在 {p99} 毫秒内。",
    },
    "node-failure.ready": {
        "en": "Node {node} was ready again {seconds} s after it was started.",
        "zh": "节点 {node} 重新启动 {seconds} 秒后就绪。",
    },
    "node-failure.verdict": {
        "en": "{sent} sent, {received} received by others; lost {lost}, duplicated {duplicated}, "
        "out of order {reordered}; nobody was behind for more than {recovery}.",
        "zh": "发送 {sent} 条，其他人收到 {received} 条；丢失 {lost}，重复 {duplicated}，乱序 {reordered}；"
        "落后最多 {recovery}。",
    },
    # latency
    "latency": {"en": "A slow network, and a node cut off", "zh": "网络缓慢，节点被隔离"},
    "latency.plan": {
        "en": "{clients} people on {nodes} nodes write and ask while all networks become slow: "
        "those of the people, and those between nodes and Redis.",
        "zh": "{clients} 个人在 {nodes} 个节点上边写边问；人、节点、Redis 之间的网络全部变慢。",
    },
    "latency.step": {"en": "slow by", "zh": "延迟"},
    "latency.delay": {"en": "{ms} ms + 0–{jitter} ms", "zh": "{ms} + 0–{jitter} 毫秒"},
    "latency.half": {"en": "half within", "zh": "一半在"},
    "latency.most": {"en": "99 of 100", "zh": "99% 在"},
    "latency.ms": {"en": "{value} ms", "zh": "{value} 毫秒"},
    "latency.runs": {"en": "answers", "zh": "回答"},
    "latency.attempts": {"en": "taken over", "zh": "被接手"},
    "latency.waiting": {"en": "Slow by {ms} ms …", "zh": "延迟 {ms} 毫秒…"},
    "latency.cut_off": {
        "en": "[red]Nothing passes between node {node} and Redis any more, for {seconds} s.[/]",
        "zh": "[red]节点 {node} 与 Redis 之间完全不通，持续 {seconds} 秒。[/]",
    },
    "latency.not_ready": {
        "en": "It says that it is not ready: {ready}. Its {devices} people are on other nodes: {moved}.",
        "zh": "它报告未就绪：{ready}。它上面的 {devices} 人转到其他节点：{moved}。",
    },
    "latency.healed": {
        "en": "[green]The network is healed.[/] The node is ready again: {ready}. All have everything: {level}.",
        "zh": "[green]网络恢复。[/]该节点恢复就绪：{ready}。所有人收齐：{level}。",
    },
    "latency.verdict": {
        "en": "{sent} sent; lost {lost}, duplicated {duplicated}, out of order {reordered}; "
        "no answer was taken over just for being slow.",
        "zh": "发送 {sent} 条；丢失 {lost}，重复 {duplicated}，乱序 {reordered}；没有回答仅因缓慢而被接手。",
    },
    "latency.broken": {
        "en": "{sent} sent; lost {lost}, duplicated {duplicated}, out of order {reordered}; "
        "answers taken over because of slowness: {taken_over}; people that had to leave and did not: {stayed}.",
        "zh": "发送 {sent} 条；丢失 {lost}，重复 {duplicated}，乱序 {reordered}；"
        "因缓慢而被接手的回答：{taken_over}；应转走而未转走的人：{stayed}。",
    },
    # chaos
    "chaos": {"en": "Everything breaks", "zh": "一切都会出错"},
    "chaos.plan": {
        "en": "{clients} people on {nodes} nodes write and ask for {duration} s while things break. "
        "[bold]Seed {seed}[/]",
        "zh": "{nodes} 个节点上的 {clients} 个人在各种故障中写和问 {duration} 秒。[bold]种子 {seed}[/]",
    },
    "chaos.now": {
        "en": "{seconds} of {duration} s · {count} messages",
        "zh": "{seconds} / {duration} 秒 · {count} 条消息",
    },
    "chaos.settling": {
        "en": "over; until all are level and all answers have ended: {seconds} s · {count} messages",
        "zh": "故障结束，等待所有设备追平、所有回答结束：{seconds} 秒 · {count} 条消息",
    },
    "chaos.fault": {"en": "fault", "zh": "故障"},
    "fault.node_kill": {"en": "node killed (SIGKILL)", "zh": "节点被终止（SIGKILL）"},
    "fault.node_pause": {"en": "node stands still", "zh": "节点停滞"},
    "fault.node_restart": {"en": "node restarted (SIGTERM)", "zh": "节点重启（SIGTERM）"},
    "fault.rolling_restart": {"en": "all restarted in turn", "zh": "全部节点逐个重启"},
    "fault.redis_kill": {"en": "Redis killed (SIGKILL)", "zh": "Redis 被终止（SIGKILL）"},
    "fault.redis_pause": {"en": "Redis stands still", "zh": "Redis 停滞"},
    "fault.bus_cut": {"en": "bus connections killed", "zh": "总线连接被断开"},
    "fault.partition": {"en": "node ⇄ Redis cut off", "zh": "节点 ⇄ Redis 不通"},
    "fault.commands_lost": {"en": "node → Redis cut off", "zh": "节点 → Redis 不通"},
    "fault.replies_lost": {"en": "Redis → node cut off", "zh": "Redis → 节点 不通"},
    "fault.reply_cut": {"en": "reply of Redis cut", "zh": "Redis 回复被截断"},
    "fault.slow": {"en": "slow network", "zh": "网络缓慢"},
    "fault.narrow": {"en": "narrow network", "zh": "带宽受限"},
    "fault.reset": {"en": "connections reset", "zh": "连接被重置"},
    "fault.cut": {"en": "connection cut in a frame", "zh": "连接在帧中断开"},
    "fault.device_away": {"en": "device goes elsewhere", "zh": "设备离线换节点"},
    "chaos.figures": {
        "en": "{sent} sent, {acked} acknowledged, {received} received by others; "
        "{runs} answers, {taken_over} of them taken over.",
        "zh": "发送 {sent} 条，确认 {acked} 条，其他人收到 {received} 条；"
        "{runs} 个回答，其中 {taken_over} 个被接手。",
    },
    "chaos.latency": {
        "en": "Half within {p50} ms, 99 of 100 within {p99} ms; "
        "all level again {recovery} after a fault at the latest.",
        "zh": "一半在 {p50} 毫秒内，99% 在 {p99} 毫秒内；故障后最迟 {recovery}全部一致。",
    },
    "chaos.verdict": {
        "en": "{faults} faults: lost {lost}, duplicated {duplicated}, out of order {reordered}; "
        "every answer ended once.",
        "zh": "{faults} 次故障：丢失 {lost}，重复 {duplicated}，乱序 {reordered}；每个回答只结束一次。",
    },
    "chaos.broken": {
        "en": "{faults} faults: lost {lost}, duplicated {duplicated}, out of order {reordered}.",
        "zh": "{faults} 次故障：丢失 {lost}，重复 {duplicated}，乱序 {reordered}。",
    },
    "chaos.again": {
        "en": "The same faults again: roomgraph tour --scene chaos --seed {seed} --duration {duration}",
        "zh": "重现同样的故障：roomgraph tour --scene chaos --seed {seed} --duration {duration}",
    },
    "chaos.history": {
        "en": "What everyone sent and was handed is in {path}: roomgraph check {path}",
        "zh": "每台设备收发的完整记录在 {path}：roomgraph check {path}",
    },
}
