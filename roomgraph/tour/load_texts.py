"""What the scene `load` says, in English and Chinese."""

LOAD_TEXTS = {
    "load": {"en": "Load: a hundred, then thousands", "zh": "负载：从一百到数千"},
    "load.plan": {
        "en": "{clients} people, each on their own device, talk in conversations of 10 to 50; each writes every "
        "{every} s. Then more and more of them, up to {most}, as far as this machine goes.",
        "zh": "{clients} 个人各用一台设备，在 10 到 50 人的会话里交谈，每人每 {every} 秒写一条。"
        "然后人数不断增加，最多 {most} 人，直到这台机器的极限。",
    },
    "load.connecting": {"en": "{clients} of {all} connected", "zh": "{all} 个中已连接 {clients} 个"},
    "load.talking": {
        "en": "{clients} clients · {rooms} conversations · {sent} sent · {seconds} s",
        "zh": "{clients} 个客户端 · {rooms} 个会话 · 已发送 {sent} · {seconds} 秒",
    },
    "load.rate": {"en": "deliveries/s", "zh": "每秒送达"},
    "load.latency": {"en": "send to screen", "zh": "发送到显示"},
    "load.this": {"en": "the clients", "zh": "客户端"},
    "load.step": {
        "en": "{clients} clients: {rate} deliveries/s, p50 {p50} ms, p99 {p99} ms, lost {lost}",
        "zh": "{clients} 个客户端：每秒送达 {rate}，p50 {p50} 毫秒，p99 {p99} 毫秒，丢失 {lost}",
    },
    "load.clients": {"en": "clients", "zh": "客户端"},
    "load.legend": {
        "en": "[dim]Times in ms. CPU of all nodes · of Redis (100 % is one core); "
        "memory of the largest node · of Redis[/]",
        "zh": "[dim]时间单位：毫秒。CPU：全部节点 · Redis（100% 为一个核心）；内存：最大的节点 · Redis[/]",
    },
    "load.slow": {
        "en": "{clients} clients are more than this machine can take: 99 % within {p99} ms is over {limit} ms.",
        "zh": "{clients} 个客户端超出了这台机器的能力：99% 在 {p99} 毫秒内，超过 {limit} 毫秒。",
    },
    "load.busy": {
        "en": "The machine is at its limit ({cpu} % of all cores): it stays at {clients} clients.",
        "zh": "机器已到极限（全部核心的 {cpu}%）：停在 {clients} 个客户端。",
    },
    "load.no_time": {
        "en": "Time is up: it stays at {clients} clients.",
        "zh": "时间到：停在 {clients} 个客户端。",
    },
    "load.no_room": {
        "en": "{clients} clients could not be connected: {reason}",
        "zh": "无法连接 {clients} 个客户端：{reason}",
    },
    "load.verdict": {
        "en": "{clients} clients, {rate} deliveries/s, 99 % within {p99} ms; {sent} sent, {acked} acked; "
        "lost {lost}, duplicated {duplicated}, out of order {reordered}.",
        "zh": "{clients} 个客户端，每秒送达 {rate} 条，99% 在 {p99} 毫秒内；发送 {sent} 条，确认 {acked} 条；"
        "丢失 {lost}，重复 {duplicated}，乱序 {reordered}。",
    },
}
