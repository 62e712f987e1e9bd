// Notifications, in the service worker: shows what Web Push brings, and opens the conversation that is clicked.
// The service worker of the page loads this file (importScripts): both share their global names.

// A page that is in sight shows it by itself. Some browsers withdraw the permission of sites that show nothing often:
// so a notification that is not needed is shown and closed at once.
addEventListener("push", (event) => event.waitUntil(notify(event.data)));

async function notify(data) {
  const told = data?.json();
  if (!told) return;
  const { kind, conversation_id, name, text, url } = told;
  const title = told.title ? `${name} · ${told.title}` : name;
  const tag = `${kind} ${conversation_id}`; // a newer one takes the place of the one before
  const seen = (await windows()).some((page) => page.visibilityState === "visible" && page.focused);
  const options = { body: text, tag, data: { url }, renotify: !seen, silent: seen, requireInteraction: kind === "question" };
  await registration.showNotification(title, options);
  if (seen) for (const shown of await registration.getNotifications({ tag })) shown.close();
}

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openConversation(event.notification.data.url));
});

// In a page that is open already, if there is one.
async function openConversation(url) {
  const address = new URL(url, location.origin);
  if (address.origin !== location.origin) return;
  const page = (await windows()).find((one) => new URL(one.url).pathname === address.pathname);
  if (!page) return clients.openWindow(address.href);
  await page.focus();
  page.postMessage({ open: address.hash });
}

const windows = () => clients.matchAll({ type: "window", includeUncontrolled: true });
