// What follows from the entries of a log for its other entries: reactions to them, and earlier versions of answers. No I/O.

/**
 * The reactions to each entry, in the order of their coming.
 * @param {any[]} entries all that are loaded, current or not
 * @returns {Map<number, import("./types.js").Reaction[]>} by the seq of what they are given to
 */
export function reactionsIn(entries) {
  const given = new Map(); // seq -> Map: reaction -> Map: user id -> user
  const inner = (map, key) => map.get(key) ?? map.set(key, new Map()).get(key);
  for (const { type, data } of entries) {
    if (type !== "reaction_changed") continue;
    const { to, reaction, set, user_id, name } = data;
    const users = inner(inner(given, to), reaction);
    if (set) users.set(user_id, { user_id, name });
    else users.delete(user_id);
  }
  const reactions = new Map();
  for (const [seq, ofEntry] of given) {
    const still = [...ofEntry].filter(([, users]) => users.size);
    if (still[0]) reactions.set(seq, still.map(([reaction, users]) => ({ reaction, users: [...users.values()] })));
  }
  return reactions;
}

/**
 * What was answered in a turn before it was answered again, the oldest first.
 * @param {any[]} entries all that are loaded
 * @param {(entry: any) => boolean} isHidden whether it is no longer current
 * @returns {Map<number, any[]>} by `turn_id`
 */
export function earlierAnswers(entries, isHidden) {
  const turns = new Map();
  for (const entry of entries) {
    const { type, turn_id, data } = entry;
    if (!isHidden(entry) || data.deleted || data.rolled_back) continue;
    if (type === "answer" || (type === "stopped" && data.text)) turns.set(turn_id, [...(turns.get(turn_id) ?? []), entry]);
  }
  return turns;
}
