// Sphinx's scores of search results, with one rule of our own: first comes what is called exactly as the reader asks.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  score: ([, title, , , score]) => {
    const asked = new URLSearchParams(location.search).get("q") ?? "";
    return title.toLowerCase() === asked.trim().toLowerCase() ? score + 100 : score;
  },
};
