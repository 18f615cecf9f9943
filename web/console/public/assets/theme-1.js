// Sets the theme before the first paint. A change of this file needs a new name: browsers keep it for good.
(function () {
  var theme;
  try {
    theme = localStorage.getItem('colloquy.theme');
  } catch (error) {
    theme = null;
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
})();
