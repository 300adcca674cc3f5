// A file that is too large is refused here, before it travels.
(() => {
  const refuse = (event, files) => {
    const large = [...(files || [])].find((file) => file.size > LARGEST_MB * 2 ** 20);
    if (!large) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const size = Math.round(large.size / 2 ** 20);
    const text =
      `The file has ${size} MB; at most LARGEST_MB MB are taken. ` +
      "Cut out ten seconds in which one person speaks.";
    const place = document.querySelector("#answer .answer");
    const box = document.createElement("div");
    box.className = "refusal";
    box.setAttribute("role", "alert");
    const title = document.createElement("h3");
    title.textContent = "No face from this one";
    const words = document.createElement("p");
    words.textContent = text;
    box.append(title, words);
    place.replaceChildren(box);
    if (event.target.value) event.target.value = "";
  };
  document.addEventListener("change", (event) => refuse(event, event.target.files), true);
  document.addEventListener("drop", (event) => refuse(event, event.dataTransfer?.files), true);
})();
