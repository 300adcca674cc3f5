// On a phone the answer appears below all that is there to choose.
const showAnswer = () => {
  const answer = document.querySelector("#answer");
  const top = answer.getBoundingClientRect().top;
  const seen = top >= 0 && top < innerHeight / 2;
  if (!seen && !answer.querySelector(".waiting")) answer.scrollIntoView();
};

// The score of a class outlives a reload, where the browser keeps anything at all.
const keepScore = (score) => {
  try { sessionStorage.setItem("guess-who", JSON.stringify(score)); } catch { return; }
};
const keptScore = (game) => {
  try { return [game, JSON.parse(sessionStorage.getItem("guess-who"))]; } catch { return [game, null]; }
};

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
    place.className = "answer";
    showAnswer();
    if (event.target.value) event.target.value = "";
  };
  document.addEventListener("change", (event) => refuse(event, event.target.files), true);
  document.addEventListener("drop", (event) => refuse(event, event.dataTransfer?.files), true);
})();
