"""What `roomgraph check` says, in English and Chinese. A promise is named as the anomaly that breaks it."""

TEXTS = {
    "title": {"en": "What {path} tells", "zh": "记录 {path} 的判定"},
    "unreadable": {"en": "{path} cannot be read: {reason}", "zh": "无法读取 {path}：{reason}"},
    "bad": {
        "en": "{path} is no history, line {line}: {reason}",
        "zh": "{path} 不是有效的记录，第 {line} 行：{reason}",
    },
    "sent": {
        "en": "{sent} messages were sent: {ok} acked, {failed} refused, {unknown} without an answer",
        "zh": "共发送 {sent} 条消息：已确认 {ok}，被拒绝 {failed}，无应答 {unknown}",
    },
    "received": {
        "en": "{received} deliveries to others; devices: {devices}, logs: {conversations}, entries: {entries}",
        "zh": "送达其他设备 {received} 次；设备：{devices}，日志：{conversations}，日志记录：{entries}",
    },
    "runs": {
        "en": "Accepted runs: {runs}; known of them: executed steps {steps}, states of live text {shown}",
        "zh": "已接受的运行：{runs}；其中已知执行步骤 {steps} 个，实时文本状态 {shown} 个",
    },
    "resets": {
        "en": "Devices were told {resets} times to begin anew; acked messages gone with the store: {forgiven}",
        "zh": "设备 {resets} 次被告知重新开始；随存储丢失的已确认消息：{forgiven}",
    },
    "figures": {
        "en": "lost {lost}, duplicated {duplicated}, out of order {reordered}",
        "zh": "丢失 {lost}，重复 {duplicated}，乱序 {reordered}",
    },
    "promise": {"en": "promise", "zh": "承诺"},
    "broken": {"en": "broken", "zh": "违反"},
    "anomalies": {"en": "Where it was broken", "zh": "违反之处"},
    "held": {"en": "Every promise was kept.", "zh": "所有承诺均已兑现。"},
    "not_held": {"en": "Broken promises: {count}.", "zh": "承诺被违反 {count} 次。"},
    # The promises
    "lost_acked": {"en": "an acked message is in the log", "zh": "已确认的消息都在日志中"},
    "ack_changed": {"en": "a repeated send gets the same ack", "zh": "重复发送得到相同的确认"},
    "phantom": {"en": "a refused message is not in the log", "zh": "被拒绝的消息不在日志中"},
    "send_order": {"en": "one device's messages keep their order", "zh": "同一设备的消息保持顺序"},
    "real_time": {"en": "what was sent later is later in the log", "zh": "后发送的消息在日志中靠后"},
    "not_dense": {"en": "the log counts without holes", "zh": "日志序号连续无缺口"},
    "duplicate_in_log": {"en": "a message is in the log once", "zh": "一条消息在日志中只有一份"},
    "invented": {"en": "nothing is there that nobody sent", "zh": "没有无人发送的消息"},
    "delivered_twice": {"en": "a device gets each entry once", "zh": "设备对每条记录只收到一次"},
    "out_of_order": {"en": "a device gets entries in their order", "zh": "设备按顺序收到记录"},
    "skipped": {"en": "a device skips no entry", "zh": "设备不会漏掉记录"},
    "missing_at_end": {"en": "a device has the end of the log", "zh": "设备收到日志末尾"},
    "differs": {"en": "a device has what the log has", "zh": "设备上的内容与日志一致"},
    "reset_in_vain": {"en": "a device begins anew only with a new log", "zh": "只有日志更新时设备才重新开始"},
    "run_not_ended": {"en": "an accepted run ends", "zh": "已接受的运行都会结束"},
    "run_ended_twice": {"en": "a run ends once", "zh": "一次运行只结束一次"},
    "stale_end": {"en": "only the latest attempt ends a run", "zh": "只有最新一次尝试能结束运行"},
    "step_repeated": {"en": "a finished step is not executed again", "zh": "已完成的步骤不再执行"},
    "dead_text": {"en": "text of a dead attempt is withdrawn", "zh": "失效尝试的文本会被撤回"},
    "text_left": {"en": "no live text is left of a run that ended", "zh": "运行结束后不残留实时文本"},
    "text_differs": {"en": "live text is the same on all devices", "zh": "各设备的实时文本一致"},
}
