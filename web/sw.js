// The service worker: keeps this version's files, so that the page opens when its node is gone, and finds another one.
// The server puts before it: VERSION, the hash of all files, and FILES, the addresses of those that the page loads.

importScripts(`assets/${VERSION}/js/push_worker.js`); // notifications

const SCOPE = new URL(registration.scope).pathname; // several servers may share an origin
const PREFIX = `roomgraph ${SCOPE} `;
const PAGE = SCOPE; // under this address the page is kept
const PAGE_MS = 4000; // a node that has not answered for so long is taken for gone
const KEPT = 2; // versions: tabs may still show the one before

addEventListener("install", (event) => {
  skipWaiting(); // the next page that is opened is of this version
  event.waitUntil(keepFiles());
});

addEventListener("activate", (event) => event.waitUntil(Promise.all([
  forgetOldVersions(),
  registration.navigationPreload?.enable(),
])));

addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate" && pathname === SCOPE) event.respondWith(openPage(event));
  else if (pathname.startsWith(`${SCOPE}assets/`)) event.respondWith(openFile(request));
  // All else, the API above all, is between the page and the server.
});

// Throws when one is missing: then the browser tries again later, and the version before stays.
async function keepFiles() {
  const page = await fetch(PAGE, { cache: "reload" });
  const text = await page.clone().text();
  // Behind one address there may be nodes of two versions.
  if (!page.ok || !text.includes(`assets/${VERSION}/`)) throw new Error("the page is of another version");
  const cache = await caches.open(PREFIX + VERSION);
  await cache.addAll(FILES.map((file) => `${SCOPE}assets/${VERSION}/${file}`));
  await cache.put(PAGE, page);
}

async function forgetOldVersions() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== PREFIX + VERSION);
  await Promise.all(names.slice(0, names.length - KEPT + 1).map((name) => caches.delete(name)));
}

// The page as the node has it now; the one that is kept when there is no answer, or only that of a proxy.
async function openPage(event) {
  const late = new Promise((done) => setTimeout(done, PAGE_MS));
  const answer = await Promise.race([late, fromNode(event).catch(() => null)]);
  if (answer && answer.status < 500) return answer;
  const kept = await (await caches.open(PREFIX + VERSION)).match(PAGE, { ignoreVary: true });
  return kept ?? answer ?? Response.error();
}

async function fromNode({ preloadResponse, request }) {
  return (await preloadResponse) ?? fetch(request);
}

// A file under a hash never changes. Another try of the page has a query.
async function openFile(request) {
  return (await caches.match(request, { ignoreSearch: true, ignoreVary: true })) ?? fetch(request);
}
