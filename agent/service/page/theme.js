// Runs before the first paint, so that a chosen theme does not flash. No choice: the system's theme.
{
  const chosen = localStorage.getItem("tastemaker.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
