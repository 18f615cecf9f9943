// Chooses the browser's own time zone in a form that was not sent yet; without scripts the usual one stays chosen.
(() => {
  const select = document.getElementById('f-organization_timezone');
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (select && [...select.options].some((option) => option.value === zone)) select.value = zone;
})();
