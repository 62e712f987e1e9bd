"""What the tour says, in English and Chinese."""

from roomgraph.tour.load_texts import LOAD_TEXTS
from roomgraph.tour.spare_texts import SPARE_TEXTS

_OF_SPARE_SCENES = LOAD_TEXTS | SPARE_TEXTS

TEXTS = _OF_SPARE_SCENES | {
    "title": {
        "en": "{clients} clients on {nodes} nodes",
        "zh": "{nodes} 个节点上的 {clients} 个客户端",
    },
    "scene": {"en": "Scene {number} · {name}", "zh": "第 {number} 幕 · {name}"},
    "held": {"en": "Every scene held.", "zh": "每一幕都成立。"},
    "broken": {"en": "Not every scene held: {names}", "zh": "未成立的幕：{names}"},
    "crashed": {"en": "The scene could not be played: {reason}", "zh": "这一幕无法进行：{reason}"},
    "json": {"en": "The facts are in {path}", "zh": "结果已写入 {path}"},
    # consistency
    "consistency": {"en": "One order everywhere", "zh": "处处顺序一致"},
    "consistency.plan": {
        "en": "{clients} people on {nodes} nodes write {each} messages each, all at once, into one conversation.",
        "zh": "{nodes} 个节点上的 {clients} 个人同时向一个会话各发 {each} 条消息。",
    },
    "consistency.progress": {"en": "received by others", "zh": "其他人已收到"},
    "consistency.verdict": {
        "en": "{sent} sent, {received} received by others; lost {lost}, duplicated {duplicated}, "
        "out of order {reordered}; every client ends with the same log.",
        "zh": "发送 {sent} 条，其他人收到 {received} 条；丢失 {lost}，重复 {duplicated}，乱序 {reordered}；"
        "所有客户端的日志完全一致。",
    },
    "consistency.differs": {
        "en": "{sent} sent, {received} received by others; lost {lost}, duplicated {duplicated}, "
        "out of order {reordered}.",
        "zh": "发送 {sent} 条，其他人收到 {received} 条；丢失 {lost}，重复 {duplicated}，乱序 {reordered}。",
    },
    "consistency.latency": {
        "en": "From send to the other screens: half within {p50} ms, 99 of 100 within {p99} ms.",
        "zh": "从发送到其他屏幕：一半在 {p50} 毫秒内，百分之九十九在 {p99} 毫秒内。",
    },
    "client": {"en": "client", "zh": "客户端"},
    "node": {"en": "node", "zh": "节点"},
    "sent": {"en": "sent", "zh": "发送"},
    "from_others": {"en": "received from others", "zh": "收到他人消息"},
    "log": {"en": "last seq · log", "zh": "最后序号 · 日志"},
    "same": {"en": "same", "zh": "一致"},
    "other": {"en": "DIFFERS", "zh": "不一致"},
    # recovery
    "recovery": {"en": "Dropped in the middle, back on another node", "zh": "中途掉线，在另一节点恢复"},
    "recovery.and": {"en": " and ", "zh": "和"},
    "recovery.begin": {
        "en": "{names} each begin to book a room with the concierge.",
        "zh": "{names} 分别开始通过礼宾助手预订会议室。",
    },
    "recovery.drop": {
        "en": "[yellow]Both connections drop.[/] The others write {count} messages meanwhile.",
        "zh": "[yellow]两个连接都断开了。[/]其间其他人写了 {count} 条消息。",
    },
    "recovery.back": {"en": "They come back, each on another node:", "zh": "他们重新上线，各自连到另一个节点："},
    "recovery.goes_on": {
        "en": "The dialog goes on where it stopped:",
        "zh": "对话从中断处继续：",
    },
    "recovery.verdict": {
        "en": "{count} clients recovered session and dialog; lost {lost}, duplicated {duplicated}, "
        "out of order {reordered}.",
        "zh": "{count} 个客户端恢复了连接和对话；丢失 {lost}，重复 {duplicated}，乱序 {reordered}。",
    },
    "recovery.broken": {
        "en": "{count} of {all} clients recovered; lost {lost}, duplicated {duplicated}, "
        "out of order {reordered}.",
        "zh": "{all} 个客户端中 {count} 个恢复；丢失 {lost}，重复 {duplicated}，乱序 {reordered}。",
    },
    "recovery.what": {"en": "@concierge book a room for a workshop", "zh": "@concierge 我想订一间会议室，培训用"},
    "recovery.when": {"en": "@concierge tomorrow at 10", "zh": "@concierge 明天下午3点"},
    "recovery.how_many": {"en": "@concierge 6", "zh": "@concierge 6"},
    "recovery.yes": {"en": "@concierge yes", "zh": "@concierge 好的"},
    "recovery.slots": {"en": "workshop|tomorrow at 10|6 people", "zh": "培训|明天下午3点|6人"},
    "user_id": {"en": "user id", "zh": "用户 ID"},
    "verdict": {"en": "verdict", "zh": "结论"},
    "replayed": {"en": "replayed", "zh": "补发"},
    "history": {"en": "history", "zh": "历史"},
    "last_activity": {"en": "last activity", "zh": "最后活动"},
    "moved": {"en": "node", "zh": "节点"},
    # failover, a part of recovery
    "failover.left_out": {
        "en": "Left out: a node dies while answering. The tour kills only nodes it started.",
        "zh": "略过“节点在回答途中崩溃”：演示只会终止为它启动的节点。",
    },
    "failover.one_node": {
        "en": "Left out: a node dies while answering. That takes two nodes.",
        "zh": "略过“节点在回答途中崩溃”：至少需要两个节点。",
    },
    "failover.begin": {
        "en": "Now the node that is answering dies in the middle of its answer:",
        "zh": "现在，正在回答的节点在回答途中崩溃：",
    },
    "failover.ask": {
        "en": "@concierge a summary of all bookings, please",
        "zh": "@concierge 请总结一下所有预订",
    },
    "failover.killed": {
        "en": "[red]Node {node}, which was answering, is killed (SIGKILL).[/]",
        "zh": "[red]正在回答的节点 {node} 被强制终止（SIGKILL）。[/]",
    },
    "failover.waiting": {
        "en": "Another node takes over when the lease of the dead one has expired …",
        "zh": "等待该节点的租约到期，由另一节点接手…",
    },
    "failover.taken_over": {
        "en": "What it had said is withdrawn. [yellow]Node {node} begins anew, {seconds} s after the kill[/]:",
        "zh": "已显示的部分被撤回。终止后 {seconds} 秒，[yellow]节点 {node} 重新开始回答[/]：",
    },
    "failover.again": {
        "en": "Its answer was complete already. Once more:",
        "zh": "回答在此之前已经完成。再来一次：",
    },
    "failover.had_shown": {"en": "had shown", "zh": "曾显示"},
    "failover.answers": {"en": "answers", "zh": "回答"},
    "failover.shows": {"en": "shows now", "zh": "现显示"},
    "failover.characters": {"en": "{count} characters", "zh": "{count} 个字符"},
    "failover.ready": {
        "en": "Node {node} has been started again and is ready.",
        "zh": "节点 {node} 已重新启动并就绪。",
    },
    "failover.too_late": {
        "en": "{count} answers were complete before their node was dead: no node could be killed in time.",
        "zh": "{count} 次回答都在节点终止之前完成：没能及时终止节点。",
    },
    "failover.verdict": {
        "en": "{withdrawn} characters withdrawn, one answer on all {count} devices; "
        "the dialog remembers what was booked.",
        "zh": "撤回 {withdrawn} 个字符，{count} 台设备上都只有一个回答；对话记得所有预订。",
    },
    "failover.broken": {
        "en": "{withdrawn} characters withdrawn, {answers} answers in the log; "
        "{count} of {all} devices show the one answer.",
        "zh": "撤回 {withdrawn} 个字符，日志中有 {answers} 个回答；{all} 台设备中 {count} 台只显示一个回答。",
    },
    # devices
    "devices": {"en": "One person, three devices", "zh": "一个人，三台设备"},
    "devices.plan": {
        "en": "{name} is on {devices}, each on its own node where there are enough, and writes from each.",
        "zh": "{name} 同时使用{devices}，尽量各连一个节点，并从每台设备发消息。",
    },
    "devices.names": {"en": "phone, laptop, tablet", "zh": "手机、笔记本、平板"},
    "phone": {"en": "phone", "zh": "手机"},
    "laptop": {"en": "laptop", "zh": "笔记本"},
    "tablet": {"en": "tablet", "zh": "平板"},
    "devices.line": {"en": "Note from my {device}", "zh": "来自{device}的便签"},
    "devices.draft": {"en": "Not sent yet", "zh": "还没有发出"},
    "device": {"en": "device", "zh": "设备"},
    "devices.messages": {"en": "from the others", "zh": "来自其他设备"},
    "devices.read": {"en": "read mark", "zh": "已读标记"},
    "devices.drafts": {"en": "draft", "zh": "草稿"},
    "own": {"en": "set here", "zh": "本机设置"},
    "devices.verdict": {
        "en": "{sent} sent, {received} shown on the other devices; "
        "read mark and draft followed on {followed} of 2 each; "
        "lost {lost}, duplicated {duplicated}, out of order {reordered}.",
        "zh": "发送 {sent} 条，其他设备显示 {received} 条；已读标记和草稿各在 2 台中的 {followed} 台上同步；"
        "丢失 {lost}，重复 {duplicated}，乱序 {reordered}。",
    },
    # approval
    "approval": {"en": "Asked on one device, answered on another", "zh": "一台设备提问，另一台设备批准"},
    "approval.plan": {
        "en": "{name} asks for a room on the laptop, on node {node}:",
        "zh": "{name} 在笔记本（节点 {node}）上要订会议室：",
    },
    "approval.ask": {
        "en": "a room for a workshop tomorrow at 10, for 6 people",
        "zh": "我想订会议室做培训，明天下午3点，6个人",
    },
    "approval.asked": {
        "en": "The question is on the laptop (node {asked_on}) and on the phone (node {other}).",
        "zh": "笔记本（节点 {asked_on}）和手机（节点 {other}）上都显示这个问题。",
    },
    "approval.answered": {
        "en": "The phone presses “{label}” on node {node} first.",
        "zh": "手机先在节点 {node} 上按下“{label}”。",
    },
    "approval.refused": {
        "en": "The laptop's “{label}” comes a moment later and is refused: {code}.",
        "zh": "笔记本紧接着按下的“{label}”被拒绝：{code}。",
    },
    "approval.not_refused": {
        "en": "[red]The laptop's “{label}” comes a moment later and is taken as well.{code}[/]",
        "zh": "[red]笔记本紧接着按下的“{label}”也被接受了。{code}[/]",
    },
    "approval.no_question": {
        "en": "The concierge did not ask on the laptop.",
        "zh": "礼宾助手没有在笔记本上提问。",
    },
    "approval.question": {"en": "question", "zh": "问题"},
    "approval.shown": {"en": "shown", "zh": "已显示"},
    "approval.not_shown": {"en": "NOT SHOWN", "zh": "未显示"},
    "approval.by": {"en": "answered by", "zh": "回答者"},
    "approval.from": {"en": "from", "zh": "来自"},
    "approval.verdict": {
        "en": "Asked on node {asked_on}, answered on node {answered_on}; "
        "answers that counted: {answers}, bookings made: {bookings}.",
        "zh": "在节点 {asked_on} 上提问，在节点 {answered_on} 上回答；有效回答 {answers} 个，预订 {bookings} 个。",
    },
    # status
    "status": {"en": "What the cluster says of itself", "zh": "集群自报的数据"},
    "status.nodes": {"en": "nodes", "zh": "节点"},
    "status.active_sessions": {"en": "active sessions", "zh": "活跃连接"},
    "status.bus_subscriptions": {"en": "bus subscriptions", "zh": "总线订阅"},
    "status.conversations": {"en": "conversations", "zh": "会话"},
    "status.entries": {"en": "entries in the logs", "zh": "日志条目"},
    "status.runs": {"en": "runs accepted", "zh": "已接受的运行"},
    "status.runs_finished": {"en": "runs ended", "zh": "已结束的运行"},
    "status.figure": {"en": "figure", "zh": "指标"},
    "status.value": {"en": "value", "zh": "数值"},
    "status.expected": {"en": "expected", "zh": "预期值"},
    "status.verdict": {
        "en": "{sessions} active sessions, {subscriptions} bus subscriptions, {nodes} nodes.",
        "zh": "{sessions} 个活跃连接，{subscriptions} 个总线订阅，{nodes} 个节点。",
    },
}
