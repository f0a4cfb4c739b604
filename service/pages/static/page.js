// What a page does beyond its forms and links: the key of this tab, progress as it happens, files dropped anywhere, the
// request as a curl command, problems at the field that they name. Everything that is shown comes from the server as a
// page; only <main> is exchanged. Without this script all forms and links work, on a service that needs no key.
"use strict";
(() => {
  const KEY = "gradient-health-api-key";
  const PAGE_SECONDS = 2;
  const find = id => document.getElementById(id);
  const say = text => { find("said").textContent = text; };
  const key = () => sessionStorage.getItem(KEY) ?? "";
  const keyed = headers => key() ? { ...headers, Authorization: `Bearer ${key()}` } : headers;
  const pause = seconds => new Promise(over => { setTimeout(over, seconds * 1000); });

  // ---------------------------------------------------------------- pages

  async function show(response) {
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const main = page.getElementById("main");
    if (!main) { say(`The service answered with status ${response.status}.`); return; }
    document.title = page.title;
    find("main").replaceWith(document.adoptNode(main));
    document.dispatchEvent(new Event("shown"));
    enliven();
  }

  async function load(address) {
    await show(await fetch(address, { headers: keyed({ Accept: "text/html" }), cache: "no-store" }));
  }

  // ---------------------------------------------------------------- the key

  function askForKey(main) {
    const refused = main.dataset.refused !== undefined;
    if (refused) sessionStorage.removeItem(KEY);
    if (key()) { load(location.href); return; }
    const form = find("key-form");
    form.hidden = false;
    find("key").focus();
    form.addEventListener("submit", event => {
      event.preventDefault();
      sessionStorage.setItem(KEY, find("key").value.trim());
      load(location.href);
    });
  }

  function forgetKey() {
    sessionStorage.removeItem(KEY);
    location.assign("/");
  }

  // What the browser would ask for without the key is asked for with it.
  document.addEventListener("submit", async event => {
    const form = event.target;
    if (event.defaultPrevented || !key() || form.method !== "post") return;
    event.preventDefault();
    const response = await fetch(form.action, { method: "POST", headers: keyed({ Accept: "text/html" }) });
    if (response.redirected) history.pushState(null, "", response.url);
    await show(response);
  });

  document.addEventListener("click", async event => {
    const link = event.target.closest?.("a[href^='/v1/'], a[href='/openapi.json']");
    if (!link || !key() || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const response = await fetch(link.href, { headers: keyed({}) });
    if (!response.ok) { say(`${link.textContent}: ${(await response.json()).detail}`); return; }
    const told = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
    const save = document.createElement("a");
    save.href = URL.createObjectURL(await response.blob());
    save.download = told?.[1] ?? (link.download || new URL(link.href).pathname.split("/").pop());
    save.click();
    setTimeout(() => URL.revokeObjectURL(save.href), 60_000);
  });

  window.addEventListener("popstate", () => { if (key()) load(location.href); });

  // ---------------------------------------------------------------- progress

  async function* eventsOf(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = "", part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const lines = text.slice(0, end).split("\n").map(line => /^(\w*): ?(.*)$/.exec(line)).filter(Boolean);
        yield Object.fromEntries(lines.map(([, name, value]) => [name, value]));
        text = text.slice(end + 2);
      }
    }
  }

  function showProgress(job) {
    const { stage, fraction } = job.progress, percent = `${Math.round(fraction * 100)} %`;
    const step = document.querySelector(`.stages [data-stage="${CSS.escape(stage)}"]`);
    document.querySelector(".stages [aria-current]")?.removeAttribute("aria-current");
    step?.setAttribute("aria-current", "step");
    const words = step?.textContent ?? stage;
    if (find("stage").textContent !== words) say(`${words}, ${percent}`);
    find("stage").textContent = words;
    find("progress").value = fraction;
    find("percent").textContent = percent;
  }

  // One event of a stream that breaks is told twice by nobody: the last one seen is named when asking again.
  async function follow(main) {
    let last = "", wait = PAGE_SECONDS, over = false;
    while (!over && main.isConnected) {
      try {
        const headers = keyed(last ? { "Last-Event-ID": last } : {});
        const response = await fetch(main.dataset.events, { headers, cache: "no-store" });
        if (response.status >= 500) throw new Error("a service that does not answer now may do so later");
        over = !response.ok || response.status === 204;
        if (over) break;
        for await (const each of eventsOf(response.body)) {
          last = each.id ?? last;
          wait = Number(each.retry ?? wait * 1000) / 1000;
          if (each.event === "progress" && main.isConnected) showProgress(JSON.parse(each.data));
          over = over || each.event === "end" || each.event === "deleted";
        }
      } catch { say("The connection broke; trying again."); }
      if (!over) await pause(wait);
    }
    if (!main.isConnected) return;
    say("The analysis has ended.");
    await load(location.href);
  }

  // ---------------------------------------------------------------- the form

  const chosen = name => [...find(name).files];
  const labels = ["project", "commit", "model_version"];

  // As the service reads the same fields where no script runs (service/pages/fields.py).
  function valueOf(field) {
    const text = field.value.trim();
    if (field.dataset.kind === "lines") return text.split(/\r?\n/).map(line => line.trim()).filter(Boolean);
    if (field.dataset.kind === "json") { try { return JSON.parse(text); } catch { return text; } }
    const isNumber = ["integer", "number"].includes(field.dataset.kind) && Number.isFinite(Number(text));
    return isNumber ? Number(text) : text;
  }

  function requestOf(form) {
    const fields = [...form.querySelectorAll("[data-kind]")].filter(field => field.value.trim());
    const options = Object.fromEntries(fields.map(field => [field.name.slice("options.".length), valueOf(field)]));
    const told = labels.map(name => [name, find(name).value.trim()]).filter(([, value]) => value);
    const query = new URLSearchParams(told).toString();
    return {
      address: new URL(`/v1/analyses${query && "?"}${query}`, location.href).href,
      files: ["model", "batch", "external_data"].flatMap(name => chosen(name).map(file => [name, file])),
      options: Object.keys(options).length ? JSON.stringify(options) : "",
    };
  }

  const quoted = text => /^[\w@=:/.,%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const nameFor = file => /[",;\\]/.test(file) ? `"${file.replace(/["\\]/g, "\\$&")}"` : file;

  function showCommand(form) {
    const { address, files, options } = requestOf(form), code = find("curl");
    const given = files.some(([name]) => name === "model") ? files : [["model", { name: "model.onnx" }], ...files];
    const parts = given.map(([name, file]) => `-F ${quoted(`${name}=@${nameFor(file.name)}`)}`);
    const bearer = code.dataset.key === "yes" ? ['-H "Authorization: Bearer $GRADIENT_HEALTH_API_KEY"'] : [];
    const said = options ? [`--form-string ${quoted(`options=${options}`)}`] : [];
    code.textContent = ["curl -H 'Prefer: respond-async'", ...bearer, ...parts, ...said, quoted(address)].join(" \\\n  ");
  }

  function complainAbove(problem) {
    const box = document.createElement("div");
    box.className = "problem";
    box.id = "problem";
    box.setAttribute("role", "alert");
    [problem.title, problem.detail, problem.hint].filter(Boolean).forEach((line, place) => {
      const words = document.createElement(place ? "p" : "strong");
      words.textContent = line;
      box.append(words);
    });
    find("alert").append(box);
    box.scrollIntoView({ block: "nearest" });
  }

  function complain(form, problem) {
    form.querySelectorAll(".complaint, .problem").forEach(each => each.remove());
    form.querySelectorAll("[aria-invalid]").forEach(each => each.removeAttribute("aria-invalid"));
    if (!problem) return;
    const field = form.querySelector(`[data-field="${CSS.escape(problem.where ?? "")}"]`);
    if (!field) { complainAbove(problem); return; }
    const input = field.querySelector("input, select, textarea"), complaint = document.createElement("p");
    complaint.className = "complaint";
    complaint.id = `${problem.where}-problem`;
    complaint.setAttribute("role", "alert");
    const said = problem.detail.replace(`${problem.where.replace(/^options\./, "")}: `, "");  // as analysis.errors.said_at
    complaint.textContent = [said, problem.hint].filter(Boolean).join(". ");
    field.insertBefore(complaint, input.nextSibling);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", `${problem.where}-help ${complaint.id}`);
    const fold = field.closest("details");
    if (fold) fold.open = true;
    input.focus();
  }

  // A proxy in between may have an answer of its own.
  function answerOf(request) {
    try { return JSON.parse(request.responseText); } catch {
      return { title: "Not taken", detail: `Something between here and the service answered with status ${request.status}.` };
    }
  }

  function send(form) {
    const { address, files, options } = requestOf(form), body = new FormData(), request = new XMLHttpRequest();
    files.forEach(([name, file]) => body.append(name, file, file.name));
    if (options) body.append("options", options);
    const busy = on => {
      form.querySelector("[type=submit]").disabled = on;
      find("sent").hidden = find("stop-sending").hidden = !on;
    };
    request.open("POST", address);
    Object.entries(keyed({ Prefer: "respond-async" })).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.upload.addEventListener("progress", event => {
      find("sent").value = event.lengthComputable ? event.loaded / event.total : 0;
    });
    request.addEventListener("load", () => {
      const told = answerOf(request);
      if (request.status < 300) { location.assign(`/analyses/${told.id}`); return; }
      busy(false);
      complain(form, told);
    });
    request.addEventListener("error", () => {
      busy(false);
      complain(form, { title: "Not sent", detail: "The connection broke before the service had answered.", where: "" });
    });
    request.addEventListener("abort", () => { busy(false); say("Stopped."); });
    find("stop-sending").onclick = () => request.abort();
    complain(form, null);
    busy(true);
    say("Sending.");
    request.send(body);
  }

  function take(files) {
    const given = { model: [], batch: [], external_data: [] };
    for (const file of files) {
      const isBatch = /\.(npz|npy|safetensors|pb|json)$/i.test(file.name) && !given.batch.length;
      given[/\.(onnx|ort)$/i.test(file.name) ? "model" : isBatch ? "batch" : "external_data"].push(file);
    }
    for (const [name, taken] of Object.entries(given)) {
      const all = new DataTransfer();
      (name === "external_data" ? taken : taken.slice(0, 1)).forEach(file => all.items.add(file));
      if (taken.length) find(name).files = all.files;
    }
    say(`${files.length} ${files.length === 1 ? "file" : "files"} taken.`);
  }

  function enlivenForm(form) {
    const isOver = on => form.classList.toggle("over", on);
    form.addEventListener("dragover", event => { event.preventDefault(); isOver(true); });
    form.addEventListener("dragleave", event => { if (!form.contains(event.relatedTarget)) isOver(false); });
    form.addEventListener("drop", event => {
      event.preventDefault();
      isOver(false);
      take([...event.dataTransfer.files]);
      showCommand(form);
    });
    form.addEventListener("input", () => showCommand(form));
    form.addEventListener("submit", event => { event.preventDefault(); send(form); });
    showCommand(form);
  }

  function enlivenCopy(button) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = find(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        say("Copied.");
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      } catch {
        getSelection().selectAllChildren(source);
        say("Selected; copy it with the keyboard.");
      }
    });
  }

  function enliven() {
    const main = find("main"), forget = find("forget-key");
    if (forget) { forget.hidden = !key(); forget.onclick = forgetKey; }
    main.querySelectorAll("time").forEach(each => {
      const when = new Date(each.dateTime);
      each.textContent = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      each.title = when.toISOString();
    });
    main.querySelectorAll("[data-copy]").forEach(enlivenCopy);
    if (main.dataset.needsKey !== undefined) askForKey(main);
    if (main.dataset.events) follow(main);
    if (find("upload")) enlivenForm(find("upload"));
  }

  enliven();
})();
