// What the whole page shows, and the one way to have it drawn again.

export const state = {
  me: "", // this user's id
  name: "",
  node: "",
  nodes: [], // URLs that the page may move to
  graphs: [],
  link: "connecting", // connecting, online, catching, reconnecting or offline
  retryAt: 0, // when the next try to connect is due, or 0
  behind: 0, // entries still to be caught up
  open: null, // the conversation that is shown
  opening: "", // the id of one that is being joined
  conversations: new Map(),
  names: new Map(), // user id -> name, as met in entries
  devices: [], // this user's; `here`: this page
  presence: new Map(), // user id -> online
};

const drawers = [];
let due = false;

export const onChange = (drawer) => drawers.push(drawer);

// Something changed: draw once, soon, however often this is called.
export function changed() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    for (const draw of drawers) draw();
  });
}

// Entries say what their authors are called; older ones do not change what newer ones said.
export function learnNames(entries, older) {
  for (const { data } of entries) {
    if (data.name && !(older && state.names.has(data.user_id))) state.names.set(data.user_id, data.name);
  }
}

// An agent that has not said anything yet goes by its graph's name.
export const nameOf = (userId) =>
  state.names.get(userId) ?? userId?.replace(/^agent:./, (start) => start.at(-1).toUpperCase());
