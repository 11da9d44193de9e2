"use strict";
// Filters the checks by state, host and words. Without it the page shows all of them, and a chosen host's by :target.
(() => {
  const form = document.getElementById("filter");
  // A kind of check that holds is folded, and opens while something is looked for in it.
  const groups = [...document.querySelectorAll("details.group")].map((group) => (
    { group, rows: group.querySelectorAll("tbody tr"), open: group.open }));
  const nodes = [...document.querySelectorAll("[data-node]")];

  function show() {
    const { state, host, words } = Object.fromEntries(new FormData(form));
    const wanted = words.trim().toLowerCase();
    let shown = 0, all = 0;
    for (const { group, rows, open } of groups) {
      const before = shown;
      for (const row of rows) {
        row.hidden = Boolean(
          (state && row.dataset.state !== state) ||
          (host && row.dataset.host !== host && row.dataset.about !== host) ||
          (wanted && !row.textContent.toLowerCase().includes(wanted)));
        shown += row.hidden ? 0 : 1;
        all += 1;
      }
      group.hidden = shown === before;
      group.open = state || host || wanted ? shown > before : open;
    }
    for (const node of nodes) node.classList.toggle("chosen", node.dataset.node === host);
    form.querySelector("output").value = shown === all ? "" : `${shown} of ${all}`;
  }

  function choose() {
    const host = decodeURIComponent(location.hash).replace(/^#host-/, "#").slice(1);
    if (!location.hash.startsWith("#host-") || ![...form.host.options].some((one) => one.value === host)) return;
    form.host.value = host;
    show();
    document.getElementById("checks").scrollIntoView();
  }

  document.documentElement.classList.add("scripted");
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", choose);
  // A second click on the host that is in the address already.
  for (const node of document.querySelectorAll('a[href^="#host-"]')) {
    node.addEventListener("click", () => { if (node.getAttribute("href") === location.hash) choose(); });
  }
  choose();
})();
