SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // Nothing is asked of other hosts.
  validatorUrl: null,
});
