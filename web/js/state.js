// What the whole page shows, and the one way to have it drawn again.

export const state = {
  me: "", // this user's id
  name: "",
  node: "",
  nodes: [], // URLs that the page may move to
  graphs: [],
  link: "connecting", // connecting, online, catching, reconnecting or offline
  retryAt: 0, // when the next try is due, or 0
  behind: 0, // entries still to be caught up
  open: null, // the conversation that is shown
  opening: "", // the id of one that is being joined
  conversations: new Map(),
  names: new Map(), // by user id, as met in entries
  devices: [], // this user's; `here`: this page
};

const drawers = [];
let due = false;

export const onChange = (drawer) => drawers.push(drawer);

// Draw once, soon, however often this is called.
export function changed() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    for (const draw of drawers) draw();
  });
}

// What authors are called; older entries do not change what newer ones said.
export function learnNames(entries, older) {
  for (const { data } of entries) {
    if (data.name && !(older && state.names.has(data.user_id))) state.names.set(data.user_id, data.name);
  }
}

// An agent that has not said anything yet goes by its graph's name.
export const nameOf = (userId) =>
  state.names.get(userId) ?? userId?.replace(/^agent:./, (start) => start.at(-1).toUpperCase());
