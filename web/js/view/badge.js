// What waits, where no page is needed to see it: in the title of the tab, and on the icon of an installed page.

const NAME = document.title;

let shown = 0;

// `unread`: entries of others, in all conversations.
export function showUnread(unread) {
  if (unread === shown) return;
  shown = unread;
  document.title = unread ? `(${unread > 99 ? "99+" : unread}) ${NAME}` : NAME;
  // Only installed pages have a badge; some browsers refuse it to others.
  navigator.setAppBadge?.(unread).catch(() => {});
}
