"""What `roomgraph up` says, in English and Chinese."""

TEXTS = {
    "cleaned": {
        "en": "Old data removed from {path} (keep it with --keep-data)",
        "zh": "已清除 {path} 中的旧数据（用 --keep-data 保留）",
    },
    "kept": {"en": "Old data kept in {path}", "zh": "已保留 {path} 中的旧数据"},
    "redis": {"en": "Redis is up at {url}", "zh": "Redis 已启动：{url}"},
    "nodes": {"en": "{count} nodes are ready on {ports}", "zh": "{count} 个节点已就绪：{ports}"},
    "failed": {"en": "Cannot start: {reason}", "zh": "无法启动：{reason}"},
    "page": {"en": "The chat page: {url}", "zh": "聊天页面：{url}"},
    "others": {"en": "the same on every node: {urls}", "zh": "每个节点都一样：{urls}"},
    "stage": {
        "en": "The stage, live, with buttons that break things: {url}",
        "zh": "演示舞台，实时显示，并可动手制造故障：{url}",
    },
    "ctrl_c": {"en": "Ctrl-C stops everything.", "zh": "按 Ctrl-C 停止全部。"},
    "stopping": {"en": "Stopping …", "zh": "正在停止…"},
    "stopped": {"en": "Everything that was started is stopped", "zh": "已启动的进程均已停止"},
    # What can be in the way of a start
    "port_too_high": {
        "en": "port {port} is too high for {count} nodes and Redis: use --port 9000",
        "zh": "端口 {port} 过大，容不下 {count} 个节点和 Redis：请用 --port 9000",
    },
    "left_over": {
        "en": "Roomgraph is running on these ports already, or an earlier run left processes behind. "
        "Use other ports: --port {other}; or stop it: Ctrl-C in its terminal, or kill {pids}",
        "zh": "这些端口上已有 Roomgraph 在运行，或上次运行留下了进程。"
        "请换用其他端口：--port {other}；或停止它：在其终端按 Ctrl-C，或执行 kill {pids}",
    },
    "no_ports": {
        "en": "no {count} free ports in a row were found for the cluster's nodes",
        "zh": "找不到 {count} 个连续的空闲端口供集群节点使用",
    },
    "port_taken": {
        "en": "another program uses port {ports}. Stop it (to see it: ss -ltnp), "
        "or use other ports: --port {other}",
        "zh": "端口 {ports} 已被其他程序占用。请停止该程序（查看：ss -ltnp），或换用其他端口：--port {other}",
    },
    "disk_full": {
        "en": "only {free} MB are free on the disk of {path}, and {needed} MB are needed. "
        "Free some space, or name another folder: --data-dir",
        "zh": "{path} 所在磁盘只剩 {free} MB，需要 {needed} MB。请清理空间，或指定其他目录：--data-dir",
    },
    "not_writable": {
        "en": "{path} cannot be written to. Name another folder: --data-dir",
        "zh": "无法写入 {path}。请指定其他目录：--data-dir",
    },
    "not_proxied": {
        "en": "REDIS_URL={url}: bad networks are played with redis:// only. Without REDIS_URL a Redis is started",
        "zh": "REDIS_URL={url}：模拟网络故障只支持 redis://。去掉 REDIS_URL 即可使用自带的 Redis",
    },
    "no_redis": {
        "en": "Redis at {url} does not answer. Is it running, and is REDIS_URL right?",
        "zh": "{url} 的 Redis 没有响应。它在运行吗？REDIS_URL 正确吗？",
    },
    "ended": {
        "en": "{process} ended at its start (exit status {status}). Its last words: {words} (all of them: {path})",
        "zh": "{process} 启动时退出（退出码 {status}）。最后的输出：{words}（完整日志：{path}）",
    },
    "ended_by_itself": {
        "en": "{process} has ended by itself (exit status {status}). Its log: {path}",
        "zh": "{process} 已自行退出（退出码 {status}）。日志：{path}",
    },
    "not_ready": {
        "en": "{process} does not get ready. Its last words: {words} (all of them: {path})",
        "zh": "{process} 未能就绪。最后的输出：{words}（完整日志：{path}）",
    },
}
