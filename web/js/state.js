// What the page shows, and how it is drawn again.

export const state = {
  me: "", // this user's id
  name: "",
  node: "",
  graphs: [],
  features: [], // of the server
  link: "connecting", // connecting, online, catching, reconnecting or offline
  refusal: null, // {code, message}: why no connection is made, as far as it is known
  retryAt: 0, // when the next attempt is due, or 0
  behind: 0, // entries still to be caught up
  open: null, // the conversation that is shown
  opening: "", // the id of one that is being joined
  conversations: new Map(),
  names: new Map(), // by user id, as met in entries
  devices: [], // this user's; `here`: this page
};

// Reports to the stage, when it shows this page.
export const hooks = { onEntry() {}, onSent() {}, onAcked() {} };

const drawers = [];
let due = false;

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export const onChange = (drawer) => drawers.push(drawer);

// Draw soon, once for all calls until then.
export function changed() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    for (const draw of drawers) draw();
  });
}

// Learn the authors' names; older entries do not replace a newer name.
export function learnNames(entries, older) {
  for (const { data } of entries) {
    if (data.name && data.name !== data.user_id && !(older && state.names.has(data.user_id))) state.names.set(data.user_id, data.name);
  }
}

// An agent that has not written yet has its graph's name.
export const nameOf = (userId) =>
  state.names.get(userId) ?? userId?.replace(/^agent:./, (start) => start.at(-1).toUpperCase());
